"""Who held what, drawn over time for templates/components/band.html. No queries.

Times that are short beside the whole are drawn wider, in every row alike: what was so at one moment stays above one
another, and a minute can be seen beside a year.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from approvals.history import HELD, Held
from core.addresses import address
from registry.gate import Target
from registry.models import RegisteredModel

MOST_ROWS, MOST_LANES = 12, 12
LANE = 26
SAME = timedelta(seconds=2)  # between them one version hands over to the next
DENSE = timedelta(days=3)  # below it, an axis names hours
# How wide it is drawn, in pixels: on a phone, on a wide screen; and in how many parts the axis is divided.
SIZES = {"": (300, 860, 4), "many": (1600, 1600, 8), "most": (3200, 3200, 16)}


@dataclass(frozen=True, slots=True)
class Block:
    """``x`` and ``width`` are percents; ``label`` is "", "wide" (where the screen is) or "always"."""

    held: Held
    url: str
    x: float
    width: float
    lane: int
    label: str

    @property
    def y(self) -> int:
        return self.lane * LANE + 1

    @property
    def foot(self) -> int:
        return self.y + 19

    @property
    def baseline(self) -> int:
        return self.y + 16

    @property
    def says(self) -> str:
        """For a screen reader and on hover."""
        row = self.held.row
        until = f"until {_minute(row.until)}" if row.until else "and still does"
        by = f", put there by {row.set_by}" if row.set_by else ""
        asked = f", request {row.request_id}" if row.request_id else ""
        marks = [", bypassed"] * self.held.is_bypassed + [", returned"] * (self.held.returns_to is not None)
        gone = ", deleted since" if self.held.is_deleted else ""
        name = f"Version {self.held.number} held {str(self.held.target)[:60]}"
        return f"{name} from {_minute(row.since)} {until}{by}{asked}{''.join(marks)}{gone}"


@dataclass(frozen=True, slots=True)
class Row:
    target: Target
    blocks: list[Block]
    left_out: int  # held at the same time as others, and find no room

    @property
    def height(self) -> int:
        return max(block.lane for block in self.blocks) * LANE + LANE


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    anchor: str
    text: str
    is_extra: bool  # left out where the screen is narrow


@dataclass(frozen=True, slots=True)
class Band:
    rows: list[Row] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    size: str = ""
    left_out: int = 0  # rows


class Axis:
    """Where a moment lies, in percent. Every step between two moments that matter has its share and then some."""

    def __init__(self, moments: Iterable[datetime], end: datetime) -> None:
        self.moments: list[datetime] = []
        for moment in sorted({*moments, end}):
            if not self.moments or moment - self.moments[-1] > SAME:
                self.moments.append(moment)
        steps = list(zip(self.moments, self.moments[1:], strict=False))
        whole = (self.moments[-1] - self.moments[0]) / (100 - len(steps) * self.least)
        self.places = [0.0]
        for start, stop in steps:
            self.places.append(self.places[-1] + self.least + (stop - start) / whole)

    @property
    def least(self) -> float:
        return min(2.0, 75 / len(self.moments))

    def place(self, moment: datetime) -> float:
        """Of one that matters; of an earlier one, the beginning."""
        return self.places[max(bisect_right(self.moments, moment) - 1, 0)]

    def moment(self, place: float) -> datetime:
        at = min(bisect_right(self.places, place), len(self.places) - 1)
        start, stop = self.places[at - 1], self.places[at]
        within = (place - start) / (stop - start)
        return self.moments[at - 1] + (self.moments[at] - self.moments[at - 1]) * within


def band_of(model: RegisteredModel, holdings: Sequence[Held], *, is_cut: bool, at: datetime) -> Band:
    """``holdings`` are the last ones; ``is_cut`` says that earlier ones are left out, so it begins
    where the first of these ended: from there on nothing is missing."""
    if not holdings:
        return Band()
    ended = [held.row.until for held in holdings if held.row.until]
    start = min(held.row.since for held in holdings)
    if is_cut and ended:
        start = min(ended)
        holdings = [held for held in holdings if held.row.until is None or held.row.until > start]
    end = max([at, *ended, *(held.row.since for held in holdings), start + timedelta(minutes=1)])
    moments = [moment for held in holdings for moment in (held.row.since, held.row.until) if moment and moment > start]
    axis = Axis([start, *moments], end)
    size = "" if len(holdings) <= 40 else "many" if len(holdings) <= 120 else "most"
    by_target: dict[Target, list[Held]] = {target: [] for target in HELD}
    for held in holdings:
        by_target.setdefault(held.target, []).append(held)
    rows = [_row(model, target, found, axis, size) for target, found in by_target.items() if found]
    return Band(rows[:MOST_ROWS], _ticks(axis, size), size, len(rows[MOST_ROWS:]))


def _row(model: RegisteredModel, target: Target, holdings: list[Held], axis: Axis, size: str) -> Row:
    """Each block in the first lane that is free there."""
    blocks: list[Block] = []
    ends: list[float] = []
    for held in sorted(holdings, key=lambda held: (held.row.since, held.row.pk)):
        x = axis.place(held.row.since)
        stop = axis.place(held.row.until) if held.row.until else 100.0
        width = max(stop - x, axis.least)
        x = min(x, 100 - width)
        lane = next((lane for lane, free in enumerate(ends) if free <= x + 1e-6), len(ends))
        if lane == MOST_LANES:
            continue
        ends[lane : lane + 1] = [x + width]
        url = "" if held.is_deleted else address("version", model.name, held.number)
        label = _label(f"v{held.number}", width, size)
        blocks.append(Block(held, url, round(x, 3), round(width, 3), lane, label))
    return Row(target, blocks, len(holdings) - len(blocks))


def _label(text: str, width: float, size: str) -> str:
    narrow, wide, _ = SIZES[size]
    needed = (len(text) * 8 + 10) * 100
    return "always" if width * narrow >= needed else "wide" if width * wide >= needed else ""


def _ticks(axis: Axis, size: str) -> list[Tick]:
    parts = SIZES[size][2]
    places = [100 * part / parts for part in range(parts + 1)]
    moments = [axis.moment(place) for place in places]
    days = [f"{moment.day} {moment:%b %Y}" for moment in moments]
    is_dense = len(set(days)) < len(days) or moments[-1] - moments[0] < DENSE
    texts = [_minute(moment) for moment in moments] if is_dense else days
    return [
        Tick(place, {0: "start", parts: "end"}.get(part, "middle"), text, not size and part not in (0, parts))
        for part, (place, text) in enumerate(zip(places, texts, strict=True))
    ]


def _minute(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y, %H:%M}"
