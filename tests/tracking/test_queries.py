"""What the pages ask of runs and experiments, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from core.errors import Invalid, NotFound
from tests.factories import make_experiment, make_run, make_user
from tracking.models import Experiment, Lifecycle, Run
from tracking.queries import DELETED, PARENT_TAG, get_experiment, get_run, get_runs, listed, relatives, runs_like
from tracking.search import experiments_newest_first, newest_first

pytestmark = pytest.mark.django_db


def names(rows: Any) -> list[str]:
    return sorted(run.run_name for run in rows)


# -- One run, one experiment -------------------------------------------------------------------------------------------


def test_everybody_signed_in_reads_every_run(eve: User, mira: User) -> None:
    run = make_run(user=mira)

    assert get_run(eve, run.run_id) == run


def test_whoever_is_switched_off_reads_none(mira: User) -> None:
    gone = make_user("gone", is_active=False)
    run = make_run(user=mira)

    with pytest.raises(NotFound):
        get_run(gone, run.run_id)
    with pytest.raises(NotFound):
        get_experiment(gone, run.experiment_id)
    assert list(runs_like(gone)) == []


@pytest.mark.parametrize("run_id", ["nothing", "", "x" * 33, "a\x00b", "🚀", "' OR 1=1 --"])
def test_no_other_id_is_a_run(sam: User, run_id: str) -> None:
    make_run()

    with pytest.raises(NotFound, match="There is no run"):
        get_run(sam, run_id)


def test_runs_come_as_they_were_asked_for_each_once(sam: User) -> None:
    one, other = make_run(), make_run()

    assert get_runs(sam, [other.run_id, one.run_id, other.run_id]) == [other, one]
    assert get_runs(sam, []) == []


def test_a_deleted_run_is_found(sam: User) -> None:
    run = make_run(lifecycle_stage=Lifecycle.DELETED)

    assert get_run(sam, run.run_id).is_deleted


@pytest.mark.parametrize("key", [77, 2**63, 10**30])
def test_no_other_number_is_an_experiment(sam: User, key: int) -> None:
    with pytest.raises(NotFound, match="There is no experiment"):
        get_experiment(sam, key)


def test_the_default_experiment_is_one(sam: User) -> None:
    assert get_experiment(sam, 0).name == "Default"


# -- Lists -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def four(mira: User, alice: User) -> Experiment:
    churn = make_experiment("churn")
    make_run(run_name="Wide net", user=mira, experiment=churn, metrics={"auc": 0.9}, params={"depth": "8"})
    make_run(run_name="narrow net", user=alice, experiment=churn, metrics={"auc": 0.7}, status="FAILED")
    make_run(run_name="tree 100%_", user=mira, metrics={"auc": 0.8})
    make_run(run_name="gone", user=mira, experiment=churn, lifecycle_stage=Lifecycle.DELETED)
    return churn


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["Wide net", "narrow net", "tree 100%_"]),
        ({"status": "FAILED"}, ["narrow net"]),
        ({"status": DELETED}, ["gone"]),
        ({"username": "mira"}, ["Wide net", "tree 100%_"]),
        ({"username": "mir"}, []),
        ({"text": "NET"}, ["Wide net", "narrow net"]),
        ({"text": "0%_"}, ["tree 100%_"]),
        ({"text": "%"}, ["tree 100%_"]),
        ({"filter_text": "metrics.auc > 0.75"}, ["Wide net", "tree 100%_"]),
        ({"filter_text": "params.depth = '8' AND metrics.auc > 0.75"}, ["Wide net"]),
        ({"username": "mira", "text": "net", "status": "FINISHED", "filter_text": "metrics.auc < 1"}, ["Wide net"]),
    ],
)
def test_runs_are_found_by_all_that_is_given(
    four: Experiment, sam: User, asked: dict[str, str], found: list[str]
) -> None:
    assert names(runs_like(sam, **asked)) == sorted(found)  # type: ignore[arg-type]


def test_runs_are_found_by_experiment(four: Experiment, sam: User) -> None:
    assert names(runs_like(sam, experiment=four.pk)) == ["Wide net", "narrow net"]
    assert names(runs_like(sam, experiment=four.pk + 1000)) == []


@pytest.mark.parametrize("asked", [{"status": "finished"}, {"status": "x" * 500}, {"filter_text": "auc >"}])
def test_what_cannot_be_meant_is_refused(sam: User, asked: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        runs_like(sam, **asked)  # type: ignore[arg-type]


def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(sam: User) -> None:
    experiment = make_experiment()
    for number in range(7):  # some at the same moment
        Run.objects.filter(pk=make_run(experiment=experiment).pk).update(start_time=1000 + number // 2)
    seen, token = [], ""

    while True:
        page = newest_first(runs_like(sam, experiment=experiment.pk), limit=2, page_token=token)
        seen += page.rows
        token = page.next_page_token
        if not token:
            break

    assert len({run.pk for run in seen}) == 7
    assert [run.start_time for run in seen] == sorted((run.start_time for run in seen), reverse=True)


def test_experiments_have_pages_too(sam: User) -> None:
    made = [make_experiment() for _ in range(3)]
    Experiment.objects.filter(pk__in=[row.pk for row in made]).update(creation_time=2**50)

    first = experiments_newest_first(Experiment.objects.all(), limit=2, page_token="")
    second = experiments_newest_first(Experiment.objects.all(), limit=2, page_token=first.next_page_token)

    assert [row.pk for row in (*first.rows, *second.rows)] == [*(row.pk for row in made), 0]


def test_an_experiment_counts_its_runs_without_the_deleted(
    four: Experiment, django_assert_num_queries: Callable[..., Any]
) -> None:
    empty = make_experiment()
    last = Run.objects.filter(experiment=four).order_by("-start_time").first()
    assert last is not None

    with django_assert_num_queries(1):
        [one, other] = listed([four, empty])

    assert (one.run_count, one.last_start is not None) == (2, True)
    assert (other.run_count, other.last_start) == (0, None)


# -- Relatives ---------------------------------------------------------------------------------------------------------


def child_of(run: Run, **fields: Any) -> Run:
    return make_run(tags={PARENT_TAG: run.run_id}, experiment=run.experiment, **fields)


def test_a_run_knows_the_one_it_is_a_part_of_and_its_own_parts(
    sam: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    top = make_run()
    middle = child_of(top)
    parts = [child_of(middle) for _ in range(3)]
    child_of(top)

    with django_assert_num_queries(1):
        found = relatives(sam, middle, limit=3)

    assert found.parent == top
    assert {run.pk for run in found.children} == {run.pk for run in parts}
    assert not found.more


def test_a_parent_is_found_however_late_it_started_and_more_parts_are_told(sam: User) -> None:
    top = make_run()
    Run.objects.filter(pk=top.pk).update(start_time=2**60)
    middle = child_of(top)
    for _ in range(4):
        child_of(middle)

    found = relatives(sam, middle, limit=3)

    assert found.parent == top
    assert (len(found.children), found.more) == (3, True)


@pytest.mark.parametrize("parent", ["", "nobody", "x" * 5000, "itself"])
def test_a_parent_that_is_not_here_is_none(sam: User, parent: str) -> None:
    run = make_run()
    run.tags = {PARENT_TAG: run.run_id if parent == "itself" else parent}
    run.save()

    assert relatives(sam, run, limit=3).parent is None


# -- One run's moments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end", "seconds"), [(0, 5000, 5), (5000, 5000, 0), (5000, 0, None), (0, None, None)])
def test_a_run_took_the_time_between_its_start_and_its_end(start: int, end: int | None, seconds: int | None) -> None:
    took = Run(start_time=start, end_time=end).took

    assert (None if took is None else took.total_seconds()) == seconds


@pytest.mark.parametrize("moment", [2**63 - 1, -(2**63), 0])
def test_a_moment_that_no_calendar_has_is_shown_all_the_same(moment: int) -> None:
    run = Run(start_time=moment, end_time=moment)

    assert run.started_at == run.ended_at
