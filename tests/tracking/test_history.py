"""The history of metrics, on both databases: in pages, of several runs, thinned out."""

from __future__ import annotations

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import Invalid, NotFound
from core.search import encode_page_token
from tests.factories import make_run
from tracking.history import history, history_of_runs, sampled_history
from tracking.models import MetricPoint, Run

pytestmark = pytest.mark.django_db
Row = tuple[int, int, float]  # timestamp, step, value


def make_points(*rows: Row, run: Run | None = None) -> Run:
    run = run or make_run()
    MetricPoint.objects.bulk_create(
        MetricPoint(
            run=run, key="auc", timestamp=timestamp, step=step,
            value=0.0 if math.isnan(value) else value, is_nan=math.isnan(value),
        )
        for timestamp, step, value in rows
    )  # fmt: skip
    return run


def rows_of(points: list[MetricPoint]) -> list[Row]:
    return [(point.timestamp, point.step, math.nan if point.is_nan else point.value) for point in points]


def test_pages_hold_every_point_once_by_timestamp_step_and_value() -> None:
    rows = [(1, 0, -5.0), (1, 0, 0.5), (1, 0, 1.7976931348623157e308), (1, 3, 0.1), (2, -1, 0.3), (2, -1, 0.4)]
    run = make_points(*reversed(rows))

    found, token = [], ""
    for _ in rows:
        page = history(run.run_id, "auc", limit=1, page_token=token)
        found += rows_of(page.points)
        token = page.next_page_token

    assert (found, token) == (rows, "")


def test_a_nan_and_a_zero_of_one_moment_are_two_points() -> None:
    run = make_points((1, 0, 0.0), (1, 0, math.nan))

    first = history(run.run_id, "auc", limit=1)
    second = history(run.run_id, "auc", limit=1, page_token=first.next_page_token)

    assert [point.is_nan for point in first.points + second.points] == [False, True]


@pytest.mark.parametrize(
    "position", [5, [1, 2, 3.0], [1, 2, "3", False], [1, 2, 3.0, 0], [2**63, 2, 3.0, False], [1, 2, math.inf, False]]
)
def test_a_foreign_page_token_is_refused(position: object) -> None:
    with pytest.raises(Invalid, match="page token"):
        history(make_run().run_id, "auc", limit=1, page_token=encode_page_token(position))


def test_several_runs_one_after_the_other() -> None:
    make_points((2, 0, 0.2), (1, 0, 0.1), run=make_run(run_id="a" * 32))
    make_points((1, 1, 0.3), run=make_run(run_id="b" * 32))

    found = history_of_runs(["b" * 32, "a" * 32, "unknown"], "auc", limit=5)

    assert [(point.run_id[0], point.value) for point in found] == [("a", 0.1), ("a", 0.2), ("b", 0.3)]
    assert len(history_of_runs(["b" * 32, "a" * 32], "auc", limit=2)) == 2


# What mlflow server 3.18.0 answers for values 0 to 10 at steps 0, 0, 1, 1, …, 5.
@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (1, [10]), (2, [0, 10]), (3, [0, 4, 10]), (4, [0, 3, 6, 10]), (5, [0, 3, 5, 7, 10]), (6, [0, 2, 4, 6, 8, 10]),
        (10, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (11, list(range(11))), (2500, list(range(11))),
    ],
)  # fmt: skip
def test_a_sample_is_spread_evenly_and_ends_with_the_last(limit: int, values: list[int]) -> None:
    run = make_points(*((value, value // 2, float(value)) for value in range(11)))

    assert [point.value for point in sampled_history([run.run_id], "auc", limit=limit)] == values


def test_a_sample_of_some_steps() -> None:
    run = make_points(*((step, step, 0.5) for step in range(10)))

    found = sampled_history([run.run_id], "auc", limit=2, steps=(3, 7))

    assert [point.step for point in found] == [3, 7]
    assert sampled_history([run.run_id], "auc", limit=2, steps=(50, 70)) == []
    assert sampled_history([run.run_id], "other", limit=2) == []


def test_a_sample_of_an_unknown_run_is_refused() -> None:
    with pytest.raises(NotFound, match="Run with id=unknown not found"):
        sampled_history([make_run().run_id, "unknown"], "auc", limit=5)


def test_a_page_is_one_statement_a_sample_two_for_each_run() -> None:
    run = make_points(*((step, step, 0.5) for step in range(10)))

    with CaptureQueriesContext(connection) as page:
        history(run.run_id, "auc", limit=3)
    with CaptureQueriesContext(connection) as sample:
        sampled_history([run.run_id], "auc", limit=3)

    assert (len(page), len(sample)) == (1, 3)
