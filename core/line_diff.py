"""How two texts differ line by line, with a bound on the work: difflib alone may need the square of their length."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTEXT = 3  # lines that stay, shown around those that change
MOST_WORK = 1_000_000  # looks at a line; about half a second
LONG = 1000  # lines, of both together: from here on those that are the same at the start and at the end are left out


@dataclass(frozen=True, slots=True)
class Line:
    """``old`` and ``new`` are its numbers in the two texts; a line that stays has both."""

    text: str
    old: int | None
    new: int | None

    @property
    def sign(self) -> str:
        return "+" if self.old is None else "-" if self.new is None else " "


Hunk = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class LineDiff:
    """``hunks``: the lines that change, each group with some that stay. ``is_rough``: the work ran out, and what was
    not matched until then is shown as gone and added, although some of it may be the same."""

    hunks: tuple[Hunk, ...]
    is_rough: bool = False

    @property
    def unified(self) -> str:
        """As ``diff -u`` writes it, without the names."""
        lines = [text for hunk in self.hunks for text in (_head(hunk), *(f"{line.sign}{line.text}" for line in hunk))]
        return "".join(f"{line}\n" for line in lines)


def lines_of(text: str) -> list[str]:
    """What follows the last line break is no line, unless there is something."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def line_diff(
    before: Sequence[str], after: Sequence[str], *, before_goes_on: bool = False, after_goes_on: bool = False
) -> LineDiff:
    """Of two texts, or of the beginnings of those that go on: there a line that one has at its end and the other has
    not need not differ, as it may stand beyond, and is left out."""
    is_long = len(before) + len(after) >= LONG
    start = _skipped(before, after) if is_long else 0
    old, new = before[start:], after[start:]
    end = _skipped(old[::-1], new[::-1]) if is_long else 0
    matcher = _Bounded(a=old[: len(old) - end], b=new[: len(new) - end])
    opcodes = matcher.get_opcodes()
    if opcodes and opcodes[-1][0] in [kind for kind, cut in _DOUBTED.items() if (before_goes_on, after_goes_on)[cut]]:
        opcodes.pop()
    return LineDiff(tuple(_hunks(matcher, start, old, new)), matcher.is_exhausted)


# By what stands at the end of one text alone, which of the two would have to go on to have it as well.
_DOUBTED = {"insert": 0, "delete": 1}


def _skipped(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines at the start are the same, without those that are shown around what changes."""
    pairs = enumerate(zip(before, after, strict=False))
    same = next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))
    return max(0, same - CONTEXT)


class _Bounded(difflib.SequenceMatcher[str]):
    """Finds no more matches once its work is done; what it found until then stands."""

    def __init__(self, a: Sequence[str], b: Sequence[str]) -> None:
        super().__init__(None, a, b)
        self._lines = a
        self._left = MOST_WORK

    @property
    def is_exhausted(self) -> bool:
        return self._left < 0

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        places: dict[str, list[int]] = self.b2j  # type: ignore[attr-defined]
        if self._left >= 0:
            self._left -= sum(1 + len(places.get(line, ())) for line in self._lines[alo:ahi])
        return difflib.Match(alo, blo, 0) if self.is_exhausted else super().find_longest_match(alo, ahi, blo, bhi)


def _hunks(matcher: _Bounded, start: int, old: Sequence[str], new: Sequence[str]) -> Iterator[Hunk]:
    """``start``: how many lines of both texts stand before those that were matched."""
    for group in matcher.get_grouped_opcodes(CONTEXT):
        lines: list[Line] = []
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                pairs = zip(range(old_from, old_to), range(new_from, new_to), strict=True)
                lines += [Line(old[at], start + at + 1, start + there + 1) for at, there in pairs]
                continue
            lines += [Line(old[at], start + at + 1, None) for at in range(old_from, old_to)]
            lines += [Line(new[at], None, start + at + 1) for at in range(new_from, new_to)]
        yield tuple(lines)


def _head(hunk: Hunk) -> str:
    old, new = ([number for line in hunk if (number := getattr(line, side)) is not None] for side in ("old", "new"))
    return f"@@ -{_range(old)} +{_range(new)} @@"


def _range(numbers: list[int]) -> str:
    return f"{numbers[0]},{len(numbers)}" if numbers else "0,0"
