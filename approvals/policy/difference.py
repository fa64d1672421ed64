"""What one text of a policy says and another does not: line by line, and in the plain sentences of its reading."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from approvals.policy.reading import parse
from approvals.policy.source import PolicyError
from approvals.policy.wording import sentences

CONTEXT = 3  # lines that stay, shown around those that change


@dataclass(frozen=True, slots=True)
class Line:
    """``old`` and ``new`` are its numbers in the two texts; a line that stays has both."""

    text: str
    old: int | None
    new: int | None

    @property
    def sign(self) -> str:
        return "+" if self.old is None else "-" if self.new is None else " "


@dataclass(frozen=True, slots=True)
class Difference:
    """``hunks``: the lines that change, each group with some that stay. ``gone`` and ``added`` are sentences; a text
    that cannot be read says nothing."""

    hunks: tuple[tuple[Line, ...], ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def unified(self) -> str:
        """As ``diff -u`` writes it, without the names."""
        lines = [text for hunk in self.hunks for text in (_head(hunk), *(f"{line.sign}{line.text}" for line in hunk))]
        return "".join(f"{line}\n" for line in lines)


def difference(before: str, after: str) -> Difference:
    said, says = _said(before), _said(after)
    return Difference(
        hunks=tuple(_hunks(before.split("\n"), after.split("\n"))),
        gone=tuple(sentence for sentence in said if sentence not in says),
        added=tuple(sentence for sentence in says if sentence not in said),
    )


def _hunks(before: list[str], after: list[str]) -> Iterator[tuple[Line, ...]]:
    """Texts end with a line break, and what follows it is no line."""
    old, new = (lines[:-1] if lines[-1] == "" else lines for lines in (before, after))
    for group in difflib.SequenceMatcher(a=old, b=new).get_grouped_opcodes(CONTEXT):
        lines: list[Line] = []
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                pairs = zip(range(old_from, old_to), range(new_from, new_to), strict=True)
                lines += [Line(old[at], at + 1, there + 1) for at, there in pairs]
                continue
            lines += [Line(old[at], at + 1, None) for at in range(old_from, old_to)]
            lines += [Line(new[at], None, at + 1) for at in range(new_from, new_to)]
        yield tuple(lines)


def _head(hunk: tuple[Line, ...]) -> str:
    old, new = ([number for line in hunk if (number := getattr(line, side)) is not None] for side in ("old", "new"))
    return f"@@ -{_range(old)} +{_range(new)} @@"


def _range(numbers: list[int]) -> str:
    return f"{numbers[0]},{len(numbers)}" if numbers else "0,0"


def _said(text: str) -> list[str]:
    try:
        return sentences(parse(text))
    except PolicyError:
        return []
