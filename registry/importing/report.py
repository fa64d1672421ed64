"""What an import found, wrote and left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SHOWN = 20


@dataclass(slots=True)
class Count:
    """``before``: how many were here when the import came to them."""

    there: int = 0
    added: int = 0
    before: int = 0


@dataclass(slots=True)
class Left:
    total: int = 0
    examples: list[str] = field(default_factory=list)


class Report:
    def __init__(self) -> None:
        self.counts: dict[str, Count] = {
            what: Count() for what in ("experiments", "runs", "metric points", "logged models", "files", "models")
        }
        self.counts["versions"] = Count()
        self.left: dict[str, Left] = {}

    def count(self, what: str, *, there: int = 0, added: int = 0, before: int = 0) -> None:
        row = self.counts[what]
        row.there += there
        row.added += added
        row.before += before

    def leave(self, what: str, why: str) -> None:
        """Note that something was not carried over, or not as it was."""
        left = self.left.setdefault(why, Left())
        left.total += 1
        if len(left.examples) < SHOWN:
            left.examples.append(what)

    @property
    def added(self) -> dict[str, int]:
        return {what: row.added for what, row in self.counts.items() if row.added}

    def lines(self, *, is_dry: bool = False) -> Iterator[str]:
        yield f"{'':16}{'there':>10}{'to add' if is_dry else 'added':>10}{'here before':>14}"
        for what, row in self.counts.items():
            yield f"{what:16}{row.there:>10}{row.added:>10}{row.before:>14}"
        if not self.left:
            yield "Nothing was left out."
            return
        yield "Not carried over, or not as it was:"
        for why, left in self.left.items():
            more = f" and {left.total - SHOWN} more" if left.total > SHOWN else ""
            yield f"- {why} ({left.total}): {', '.join(left.examples)}{more}"
