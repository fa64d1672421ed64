"""Curves for charts: few points, of which none is made up and none that matters is missing; on both databases."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import make_run
from tracking import curves as module
from tracking.curves import MAX_POINTS, Point, curves, thinned
from tracking.models import MetricPoint, Run

LONG = st.lists(st.none() | st.integers(-50, 50), min_size=1, max_size=120)
LIMITS = st.integers(min_value=5, max_value=60)


def curve(values: list[float | None]) -> list[Point]:
    return [Point(at, 1000 * at, value) for at, value in enumerate(values)]


@given(LONG, LIMITS)
def test_a_thinned_curve_is_short_and_in_order_and_of_points_that_were_logged(values: list[Any], limit: int) -> None:
    points = curve(values)

    kept = thinned(points, limit)

    assert len(kept) <= limit
    assert set(kept) <= set(points)
    assert [point.step for point in kept] == sorted({point.step for point in kept})


@given(LONG, LIMITS)
def test_a_thinned_curve_has_its_ends_its_lowest_its_highest_and_a_gap(values: list[Any], limit: int) -> None:
    points = curve(values)

    kept = thinned(points, limit)

    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert (None in [p.value for p in kept]) == (None in values)
    numbers = [value for value in values if value is not None]
    if numbers:
        shown = [point.value for point in kept if point.value is not None]
        assert (min(shown), max(shown)) == (min(numbers), max(numbers))


@given(LONG)
def test_a_short_curve_is_left_as_it_is(values: list[Any]) -> None:
    assert thinned(curve(values), len(values)) == curve(values)


def test_every_stretch_without_a_number_keeps_a_gap() -> None:
    values: list[float | None] = [None if at // 1000 in (3, 7) else float(at) for at in range(10_000)]

    gaps = {point.step // 1000 for point in thinned(curve(values)) if point.value is None}

    assert gaps == {3, 7}


def log(run: Run, key: str, *rows: tuple[int, int, float]) -> None:
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, key=key, timestamp=time, step=step, **number_of(value)) for time, step, value in rows
    )


def number_of(value: float) -> dict[str, Any]:
    """As the service stores it."""
    return {"value": 0.0, "is_nan": True} if math.isnan(value) else {"value": value}


@pytest.mark.django_db
def test_curves_come_in_the_order_asked_for_and_by_time() -> None:
    run = make_run()
    log(run, "loss", (2, 1, 0.5), (1, 7, 0.9))
    log(run, "auc", (1, 0, 0.1))
    log(make_run(), "loss", (1, 0, 77.0))

    found = curves(run, ["loss", "nothing", "auc"])

    assert found == {"loss": [Point(7, 1, 0.9), Point(1, 2, 0.5)], "auc": [Point(0, 1, 0.1)]}
    assert list(found) == ["loss", "auc"]


@pytest.mark.django_db
def test_what_is_no_number_to_draw_is_a_gap() -> None:
    run = make_run()
    log(run, "loss", (1, 0, math.nan), (2, 1, sys.float_info.max), (3, 2, -sys.float_info.max), (4, 3, 1e300))

    assert [point.value for point in curves(run, ["loss"])["loss"]] == [None, None, None, 1e300]


@pytest.mark.django_db
def test_many_metrics_are_two_statements(django_assert_num_queries: Callable[..., Any]) -> None:
    run = make_run()
    for number in range(8):
        log(run, f"m{number}", *((time, time, 0.5) for time in range(1200)))

    with django_assert_num_queries(2):
        found = curves(run, [f"m{number}" for number in range(8)])

    assert len(found) == 8
    assert all(len(points) <= MAX_POINTS for points in found.values())


@pytest.mark.django_db
@pytest.mark.parametrize("step", [0, 2**62, -(2**62)])
def test_of_very_many_points_some_are_looked_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """By steps or, where all have one step, by times; whatever numbers the client sent."""
    monkeypatch.setattr(module, "MOST_READ", 100)
    run = make_run()
    log(run, "loss", *((2**60 + time, step, float(time)) for time in range(1000)))

    [found] = curves(run, ["loss"]).values()

    assert 50 <= len(found) <= 200
    assert len({point.timestamp for point in found}) == len(found)
