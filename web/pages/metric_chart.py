"""A metric over the versions of a model, laid out for templates/components/metric_chart.html. No queries.

Across it is measured in percent, so that the picture is as wide as its place and its text as large as the page's; down
in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from approvals.rulebook import Rule
from core.clock import from_ms
from core.formatting import metric as formatted
from registry.metric_rows import Point
from registry.models import Stage, StageHolding, TargetKind

HEIGHT, TOP, FOOT = 200, 34, 178  # the picture, and between which heights values lie
LEFT, RIGHT = 1.0, 99.0  # percent
MOST_LABELS = 4


class Dot(NamedTuple):
    """A version. ``says`` is for a screen reader and on hover, ``look`` the highest of the stages that it ``holds``."""

    number: int
    x: float
    y: float
    left: float  # where its part of the picture begins
    text: str  # its value
    day: str  # on which it was registered
    says: str
    holds: tuple[str, ...]
    look: str

    @property
    def r(self) -> int:
        return 6 if self.look else 3

    @property
    def anchor(self) -> str:
        return "start" if self.x < 20 else "end" if self.x > 80 else "middle"


@dataclass(frozen=True, slots=True)
class PassLine:
    y: float
    text: str

    @property
    def dy(self) -> int:
        """Above the line, or below it where it lies at the top."""
        return -4 if self.y > TOP + 12 else 13


@dataclass(frozen=True, slots=True)
class Chart:
    """``step`` is how wide each dot's part of the picture is, in percent."""

    name: str
    step: float = 0.0
    dots: list[Dot] = field(default_factory=list)
    lines: list[PassLine] = field(default_factory=list)
    earlier: int | None = None  # up to which number the earlier ones are
    is_newest: bool = True

    @property
    def path(self) -> str:
        """The line through all of them, on a field that is 100 wide."""
        return " ".join(f"{dot.x:g},{dot.y:g}" for dot in self.dots)

    @property
    def last(self) -> Dot:
        return self.dots[-1]

    @property
    def marked(self) -> list[Dot]:
        return [dot for dot in self.dots if dot.holds]

    @property
    def highest(self) -> Dot:
        return min(self.dots, key=lambda dot: dot.y)

    @property
    def lowest(self) -> Dot:
        return max(self.dots, key=lambda dot: dot.y)


def chart_of(
    name: str,
    points: Sequence[Point],
    *,
    rules: Iterable[Rule],
    holdings: Iterable[StageHolding],
    is_cut: bool,
    is_newest: bool,
) -> Chart:
    """``is_cut``: there are earlier points."""
    if not points:
        return Chart(name, is_newest=is_newest)
    marks = _marks(name, rules)
    values = [point.value for point in points] + [value for value, _ in marks]
    low, high = min(values), max(values)
    size = max(abs(low), abs(high)) or 1.0  # of two large values the difference may be more than a number can be

    def y(value: float) -> float:
        if high == low:
            return (TOP + FOOT) / 2
        return round(FOOT - (value / size - low / size) / (high / size - low / size) * (FOOT - TOP), 1)

    held = _held(holdings)
    step = round((RIGHT - LEFT) / len(points), 3)
    dots = [_dot(point, LEFT + at * step, step, y(point.value), held) for at, point in enumerate(points)]
    return Chart(
        name,
        step,
        dots,
        [PassLine(y(value), text) for value, text in marks],
        earlier=points[0].number - 1 if is_cut else None,
        is_newest=is_newest,
    )


def _dot(point: Point, left: float, step: float, y: float, held: dict[int, list[str]]) -> Dot:
    (text, day, says), holds = _said_of(point), tuple(held.get(point.number, ()))
    look = "production" if Stage.PRODUCTION in holds else "staging" if holds else ""
    says += f", {' and '.join(holds)}" if holds else ""
    return Dot(point.number, round(left + step / 2, 2), y, round(left, 2), text, day, says, holds, look)


@lru_cache(maxsize=4_096)
def _said_of(point: Point) -> tuple[str, str, str]:
    """Its value, its day, and both in a sentence. Remembered, as nearly all dots of a chart were there before."""
    when, text = from_ms(point.created), formatted(point.value)
    day = f"{when.day} {when:%b %Y}"
    return text, day, f"Version {point.number}: {text}, registered {day}, {when:%H:%M} UTC"


def _held(holdings: Iterable[StageHolding]) -> dict[int, list[str]]:
    """By number of a version, the stages that it holds."""
    found: dict[int, list[str]] = {}
    for row in holdings:
        if row.target_kind == TargetKind.STAGE:
            found.setdefault(row.version.version, []).append(row.target)
    return found


def _marks(name: str, rules: Iterable[Rule]) -> list[tuple[float, str]]:
    """Where each policy draws its line, and what is written there; the same line of several policies once."""
    found: dict[tuple[float, str], list[str]] = {}
    for rule in rules:
        for asked in rule.metrics:
            for sign, mark in (("≥", asked.min), ("≤", asked.max)):
                if asked.name == name and mark is not None:
                    found.setdefault((mark.value, f"{sign} {mark.text}"), []).append(rule.name)
    return [(value, f"{text} {', '.join(names)[:60]}") for (value, text), names in found.items()][:MOST_LABELS]
