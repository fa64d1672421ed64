"""The curves of metrics as charts draw them: few points, among them the lowest, the highest and the gaps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db.models import Count, F
from django.db.models.functions import Mod

from tracking.models import MetricPoint, Run

MAX_POINTS = 1000  # of one curve
MOST_READ = 100_000  # points for one answer; of more, every n-th is looked at
_OF_PART = 3  # the lowest, the highest and a gap


class Point(NamedTuple):
    step: int
    timestamp: int
    value: float | None  # None where it is no number that can be drawn


def curves(run: Run, keys: Sequence[str]) -> dict[str, list[Point]]:
    """By key of a metric, in the order of ``keys``, its points in the order of time; two statements for all of them."""
    points = MetricPoint.objects.filter(run=run, key__in=keys)
    counts = dict(points.values_list("key").annotate(count=Count("*")))
    every = -(-sum(counts.values()) // MOST_READ)
    if every > 1:  # remainders first: the sum of a step and a time may be more than the database holds
        points = points.alias(place=Mod(Mod(F("step"), every) + Mod(F("timestamp"), every), every)).filter(place=0)
    rows = points.order_by("key", "timestamp", "step", "value").values_list(
        "key", "step", "timestamp", "value", "is_nan"
    )
    found: dict[str, list[Point]] = {key: [] for key in keys if key in counts}
    for key, step, timestamp, value, is_nan in rows[: 2 * MOST_READ]:
        found[key].append(Point(step, timestamp, _drawable(value, is_nan=is_nan)))
    return {key: thinned(curve) for key, curve in found.items()}


def _drawable(value: float, *, is_nan: bool) -> float | None:
    """An infinity is stored as the largest number there is."""
    return None if is_nan or abs(value) >= sys.float_info.max else value


def thinned(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most ``limit`` of them in their order: the first, the last, and of each of many equal parts the lowest, the
    highest and the first gap."""
    if len(points) <= limit:
        return list(points)
    parts = max(1, (limit - 2) // _OF_PART)
    kept = {0, len(points) - 1}
    for part in range(parts):
        kept.update(_landmarks(points, range(part * len(points) // parts, (part + 1) * len(points) // parts)))
    return [points[number] for number in sorted(kept)]


def _landmarks(points: Sequence[Point], numbers: Iterable[int]) -> set[int]:
    lowest: tuple[float, int] | None = None
    highest: tuple[float, int] | None = None
    gap: int | None = None
    for number in numbers:
        value = points[number].value
        if value is None:
            gap = number if gap is None else gap
            continue
        if lowest is None or value < lowest[0]:
            lowest = (value, number)
        if highest is None or value > highest[0]:
            highest = (value, number)
    return {at for at in (lowest and lowest[1], highest and highest[1], gap) if at is not None}
