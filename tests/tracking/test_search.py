"""Searching runs, experiments and logged models: every kind of condition, order and page, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import Invalid
from core.search import encode_page_token
from tests.factories import make_experiment, make_logged_model, make_run
from tracking import search
from tracking.models import Experiment, Lifecycle, LoggedModel, Run, RunDataset
from tracking.search import ModelOrder

pytestmark = pytest.mark.django_db


@pytest.fixture
def experiment() -> Experiment:
    return make_experiment("churn")


@pytest.fixture
def runs(experiment: Experiment) -> dict[str, Run]:
    """Three runs, the oldest first: a and b are alike but for case, c has little."""
    found = {
        "a": make_run(
            experiment=experiment, run_name="a", metrics={"auc": 0.9, "top.5": 1}, params={"lr": "0.1", "5": "five"},
            tags={"team": "Risk", "a b": "x"}, status="FINISHED", user_id_sent="mira",
        ),
        "b": make_run(
            experiment=experiment, run_name="b", metrics={"auc": 0.8}, params={"lr": "0.01"},
            tags={"team": "risk"}, status="FAILED",
        ),
        "c": make_run(experiment=experiment, run_name="c", tags={"empty": ""}, status="RUNNING"),
    }  # fmt: skip
    nan = {"auc": {"value": "NaN", "timestamp": 1, "step": 0}}
    Run.objects.filter(pk=found["c"].pk).update(metrics=nan, end_time=None, start_time=3000)
    Run.objects.filter(pk=found["b"].pk).update(start_time=2000, end_time=2500)
    Run.objects.filter(pk=found["a"].pk).update(start_time=1000, end_time=1500)
    context = {"mlflow.data.context": "training"}
    RunDataset.objects.create(run=found["a"], name="train.csv", digest="d1", tags=context)
    RunDataset.objects.create(run=found["a"], name="test.csv", digest="d2", tags={})
    RunDataset.objects.create(run=found["b"], name="test.csv", digest="d3", tags={"mlflow.data.context": "testing"})
    return found


def names(experiment: Experiment | None, filter_text: str = "", **options: Any) -> str:
    """The names of the runs found, in a row."""
    values: dict[str, Any] = {"view_type": "ACTIVE_ONLY", "order_by": [], "limit": 100, "page_token": "", **options}
    ids = [str(experiment.pk)] if experiment else []
    return "".join(run.run_name for run in search.search_runs(ids, filter_text=filter_text, **values).rows)


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("", "cba"),
        ("metrics.auc > 0.85", "a"),
        ("metrics.auc >= 0.8", "ba"),
        ("metric.auc < 1e300", "ba"),
        ("metrics.auc = 0.8", "b"),
        ("metrics.auc != 0.8", "ca"),
        ("metrics.auc > -5", "ba"),
        ("metrics.`top.5` = 1", "a"),
        ("metrics.top.5 = 1", "a"),
        ("metrics.absent != 1", ""),
        ("params.lr = '0.1'", "a"),
        ("params.lr != '0.1'", "b"),
        ("params.lr LIKE '0.0%'", "b"),
        ("params.5 = 'five'", "a"),
        ("params.lr IS NULL", "c"),
        ("params.lr IS NOT NULL", "ba"),
        ("tags.team = 'risk'", "b"),
        ("tags.team LIKE 'r%'", "b"),
        ("tags.team ILIKE 'r%'", "ba"),
        ("tags.team != 'risk'", "a"),
        ("tags.`a b` = 'x'", "a"),
        ('tags."a b" IS NOT NULL', "a"),
        ("tags.empty = ''", "c"),
        ("tags.empty IS NULL", "ba"),
        ('tags.`quo"te` IS NULL', "cba"),
        ("tags.`$.team` = 'Risk'", ""),
        ("attributes.status = 'FAILED'", "b"),
        ("status != 'FAILED'", "ca"),
        ("attribute.run_name ILIKE 'A'", "a"),
        ("run_name LIKE '_'", "cba"),
        ("`Run name` = 'a'", "a"),
        ("attributes.`run name` = 'a'", "a"),
        ("user_id = 'mira'", "a"),
        ("start_time > 1000", "cb"),
        ("attributes.start_time <= 2000 and start_time != 1000", "b"),
        ("end_time != 1500", "b"),
        ("end_time > 0", "ba"),
        ("attributes.created = 3000", "c"),
        ("dataset.name = 'test.csv'", "ba"),
        ("datasets.name LIKE 'train%'", "a"),
        ("dataset.digest IN ('d1', 'd3')", "ba"),
        ("dataset.digest NOT IN ('d1', 'd2')", "b"),
        ("dataset.context = 'testing'", "b"),
        ("dataset.context != 'testing'", "a"),
        ("dataset.name = 'test.csv' AND dataset.context = 'training'", "a"),
        ("tags.team ILIKE 'RISK' AND metrics.auc > 0.5 AND params.lr = '0.01'", "b"),
        ("tags.team != 'x' AND tags.team != 'risk'", "a"),
    ],
)
def test_conditions_on_runs(experiment: Experiment, runs: dict[str, Run], filter_text: str, found: str) -> None:
    assert names(experiment, filter_text) == found


def test_conditions_on_ids_and_places(experiment: Experiment, runs: dict[str, Run]) -> None:
    a, b = runs["a"].run_id, runs["b"].run_id
    uri = f"mlflow-artifacts:/{experiment.pk}/{a}/artifacts"

    assert names(experiment, f"run_id = '{a}'") == "a"
    assert names(experiment, f"run_id IN ('{a}', '{b}')") == "ba"
    assert names(experiment, f"run_id IN {(a,)}") == "a"
    assert names(experiment, f"attributes.run_id NOT IN ('{a}', '{b}')") == "c"
    assert names(experiment, f"artifact_uri = '{uri}'") == "a"
    assert names(experiment, f"artifact_uri LIKE '%{b}%'") == "b"
    assert names(experiment, f"artifact_uri != '{uri}'") == "cb"


@pytest.mark.parametrize(
    "filter_text",
    [
        "stage = 'x'",
        "foo.bar = 'x'",
        "metrics.auc > 'high'",
        "metrics.auc > '²'",
        "metrics.auc > '--5'",
        "metrics.auc LIKE '0%'",
        "metrics.auc IS NULL",
        "metrics.auc IN ('1')",
        "params.lr > 0.1",
        "params.lr = 0.1",
        "params.lr IN ('0.1')",
        "tags.team > 'a'",
        "status > 'a'",
        "status = 5",
        "status IS NULL",
        "status IN ('FAILED')",
        "run_name IN ('a')",
        "start_time = 'yesterday'",
        "start_time LIKE '1%'",
        "start_time IS NULL",
        "start_time > 1e30",
        f"start_time > {10**19}",
        "metrics.auc > 1e999",
        "dataset.schema = 'x'",
        "dataset.name > 'x'",
        "dataset.name = 5",
        "dataset.name IS NULL",
        " ",
        "experiment_id = '0'",
    ],
)
def test_bad_conditions_on_runs_are_refused(experiment: Experiment, runs: dict[str, Run], filter_text: str) -> None:
    with pytest.raises(Invalid):
        names(experiment, filter_text)


@pytest.mark.parametrize(
    ("order_by", "found"),
    [
        (["start_time ASC"], "abc"),
        (["attributes.start_time DESC"], "cba"),
        (["metrics.auc"], "bac"),
        (["metrics.auc DESC"], "abc"),
        (["metrics.absent DESC"], "cba"),
        (["params.lr"], "bac"),
        (["params.lr DESC"], "abc"),
        (["tags.team"], "abc"),
        (["tags.`a b`", "run_name"], "abc"),
        (["end_time DESC"], "bac"),
        (["end_time"], "abc"),
        (["status"], "bac"),
        (["artifact_uri IS", "x"], None),
        (["metrics.auc", "metrics.`auc` DESC"], None),
        (["stage"], None),
        (["dataset.name"], None),
        (["foo.bar"], None),
        ([""], None),
        (["run_name"] * 60, None),
    ],
)
def test_order_of_runs(experiment: Experiment, runs: dict[str, Run], order_by: list[str], found: str | None) -> None:
    if found is None:
        with pytest.raises(Invalid):
            names(experiment, order_by=order_by)
    else:
        assert names(experiment, order_by=order_by) == found


def test_only_the_experiments_named_are_searched(experiment: Experiment, runs: dict[str, Run]) -> None:
    make_run(run_name="elsewhere")

    assert names(experiment) == "cba"
    assert names(None) == ""
    for odd in ("99", "-1", "9" * 30):
        assert (
            search.search_runs([odd], filter_text="", view_type="ALL", order_by=[], limit=5, page_token="").rows == []
        )
    for bad in ("x", "²", ""):
        with pytest.raises(Invalid, match="must be a valid integer"):
            search.search_runs([bad], filter_text="", view_type="ALL", order_by=[], limit=5, page_token="")
    many = [str(n) for n in range(search.MAX_EXPERIMENTS + 1)]
    with pytest.raises(Invalid):
        search.search_runs(many, filter_text="", view_type="ALL", order_by=[], limit=5, page_token="")


def test_deleted_runs_are_found_when_asked_for(experiment: Experiment, runs: dict[str, Run]) -> None:
    Run.objects.filter(pk=runs["b"].pk).update(lifecycle_stage=Lifecycle.DELETED)

    assert [names(experiment, view_type=view) for view in search.VIEW_TYPES] == ["ca", "b", "cba"]


@pytest.mark.parametrize(
    "order_by", [[], ["start_time DESC"], ["attributes.created desc"], ["metrics.auc"], ["start_time"]]
)
def test_pages_hold_every_run_once(experiment: Experiment, runs: dict[str, Run], order_by: list[str]) -> None:
    Run.objects.update(start_time=1000)  # the ids decide
    asked: dict[str, Any] = {"filter_text": "", "view_type": "ALL", "order_by": order_by}
    whole = search.search_runs([str(experiment.pk)], **asked, limit=5, page_token="").rows
    token, found = "", []
    for _ in range(3):
        page = search.search_runs([str(experiment.pk)], **asked, limit=1, page_token=token)
        found += page.rows
        token = page.next_page_token

    assert (found, token) == (whole, "") and len(found) == 3


def test_a_run_that_starts_meanwhile_moves_no_page(experiment: Experiment, runs: dict[str, Run]) -> None:
    asked: dict[str, Any] = {"filter_text": "", "view_type": "ALL", "order_by": [], "limit": 2}
    first = search.search_runs([str(experiment.pk)], **asked, page_token="")
    make_run(experiment=experiment, run_name="new")

    second = search.search_runs([str(experiment.pk)], **asked, page_token=first.next_page_token)

    assert [run.run_name for run in first.rows + second.rows] == ["c", "b", "a"]


@pytest.mark.parametrize(
    "position", [-1, "5", [1], [1, 2], ["1", "a"], [2**63, "a"], [True, "a"], [1, "\x00"], {"a": 1}]
)
@pytest.mark.parametrize("order_by", [[], ["metrics.auc"]])
def test_a_foreign_page_token_is_refused(experiment: Experiment, order_by: list[str], position: object) -> None:
    with pytest.raises(Invalid, match="page token"):
        names(experiment, order_by=order_by, page_token=encode_page_token(position))


def test_a_search_is_one_statement(experiment: Experiment, runs: dict[str, Run]) -> None:
    with CaptureQueriesContext(connection) as captured:
        names(
            experiment,
            "metrics.auc > 0.1 AND params.lr != 'x' AND dataset.name LIKE '%'",
            order_by=["tags.team", "metrics.auc"],
        )

    assert len(captured) == 1


def test_datasets_of_experiments(experiment: Experiment, runs: dict[str, Run]) -> None:
    RunDataset.objects.create(run=runs["c"], name="test.csv", digest="d2", tags={})

    found = search.datasets_of_experiments([str(experiment.pk), "99"])

    assert [(summary.name, summary.digest, summary.context) for summary in found] == [
        ("test.csv", "d2", None), ("test.csv", "d3", "testing"), ("train.csv", "d1", "training"),
    ]  # fmt: skip


# -- Experiments -------------------------------------------------------------------------------------------------------


def experiments(filter_text: str = "", **options: Any) -> list[str]:
    values: dict[str, Any] = {
        "view_type": "ACTIVE_ONLY",
        "order_by": ["name"],
        "limit": 100,
        "page_token": "",
        **options,
    }
    return [row.name for row in search.search_experiments(filter_text=filter_text, **values).rows]


def test_searching_experiments() -> None:
    a, b = make_experiment("alpha"), make_experiment("Beta")
    Experiment.objects.filter(pk=a.pk).update(tags={"team": "risk"}, creation_time=10**15)
    Experiment.objects.filter(pk=b.pk).update(lifecycle_stage=Lifecycle.DELETED)

    assert experiments() == ["Default", "alpha"]
    assert experiments(view_type="DELETED_ONLY") == ["Beta"]
    assert experiments(view_type="ALL", order_by=["experiment_id DESC"]) == ["Beta", "alpha", "Default"]
    assert experiments("name LIKE 'a%'") == experiments("name ILIKE 'A%'") == ["alpha"]
    assert experiments("tags.team = 'risk'") == experiments("tags.team IS NOT NULL") == ["alpha"]
    assert experiments("tags.team IS NULL") == ["Default"]
    assert (
        experiments(f"experiment_id = '{a.pk}'")
        == experiments(f"attribute.experiment_id IN ('{a.pk}', 'x')")
        == ["alpha"]
    )
    assert experiments("creation_time >= 1000000000000000") == ["alpha"]
    assert experiments("name IN ('alpha', 'Beta')") == ["alpha"]
    for bad in ("metrics.a > 1", "params.a = 'x'", "lifecycle_stage = 'active'", "name = 5", "creation_time = 'x'"):
        with pytest.raises(Invalid):
            experiments(bad)


# -- Logged models -----------------------------------------------------------------------------------------------------


def models(run: Run, filter_text: str = "", **options: Any) -> list[str]:
    values: dict[str, Any] = {"order_by": [], "limit": 100, "page_token": "", **options}
    page = search.search_logged_models([str(run.experiment_id)], filter_text=filter_text, **values)
    return [row.name for row in page.rows]


@pytest.fixture
def source() -> Run:
    """A run with three logged models: b, made last and still pending, has two datasets."""
    run = make_run()

    def auc(value: float | str, dataset: str = "", timestamp: int = 1) -> dict[str, Any]:
        entry = {"key": "auc", "value": value, "timestamp": timestamp, "step": 0, "run_id": run.run_id}
        return entry | ({"dataset_name": dataset, "dataset_digest": f"{dataset}-1"} if dataset else {})

    made = {
        "a": make_logged_model(run, name="a", tags={"team": "Risk"}, params={"lr": "1"}, metrics=[auc(0.7)]),
        "b": make_logged_model(run, name="b", model_type="agent", metrics=[auc(0.9, "train", 5), auc(0.6, "test", 4)]),
        "c": make_logged_model(run, name="c", metrics=[auc("NaN")]),
    }
    for number, model in enumerate(made.values()):
        LoggedModel.objects.filter(pk=model.pk).update(creation_timestamp=1000 + number)
    LoggedModel.objects.filter(pk=made["b"].pk).update(status="LOGGED_MODEL_PENDING")
    return run


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("", "cba"),
        ("name = 'a'", "a"),
        ("name IN ('a', 'c')", "ca"),
        ("status = 'READY'", "ca"),
        ("status IN ('PENDING', 'FAILED')", "b"),
        ("params.lr IN ('1', '2')", "a"),
        ("attributes.status != 'READY'", "b"),
        ("model_type = 'agent'", "b"),
        ("creation_timestamp > 1000", "cb"),
        ("tags.team ILIKE 'risk'", "a"),
        ("params.lr = '1'", "a"),
        ("metrics.auc > 0.65", "ba"),
        ("metrics.auc != 0.7", "b"),
    ],
)
def test_conditions_on_logged_models(source: Run, filter_text: str, found: str) -> None:
    assert "".join(models(source, filter_text)) == found


def test_a_condition_on_a_metric_may_name_datasets(source: Run) -> None:
    assert models(source, "metrics.auc > 0.5", datasets=[("test", "test-1")]) == ["b"]
    assert models(source, "metrics.auc > 0.7", datasets=[("test", "")]) == []
    assert models(source, "metrics.auc > 0.7", datasets=[("test", ""), ("train", "")]) == ["b"]


def test_datasets_alone_find_what_was_measured_on_them(source: Run) -> None:
    assert models(source, datasets=[("test", "test-1")]) == models(source, datasets=[("train", "")]) == ["b"]
    assert models(source, "name = 'a'", datasets=[("test", "")]) == models(source, datasets=[("test", "x")]) == []


@pytest.mark.parametrize(
    "filter_text", ["status = 'UPLOAD_FAILED'", "status LIKE 'R%'", "status = 5", "status IS NULL"]
)
def test_bad_conditions_on_a_status_are_refused(source: Run, filter_text: str) -> None:
    with pytest.raises(Invalid, match="status"):
        models(source, filter_text)


def test_order_of_logged_models(source: Run) -> None:
    assert models(source, order_by=[ModelOrder("name")]) == ["a", "b", "c"]
    assert models(source, order_by=[ModelOrder("metrics.auc", ascending=False)]) == ["b", "a", "c"]
    assert models(source, order_by=[ModelOrder("metrics.auc", dataset_name="test")]) == ["b", "c", "a"]
    assert models(source, order_by=[ModelOrder("creation_timestamp")]) == ["a", "b", "c"]
    for bad in (
        [ModelOrder("stage")],
        [ModelOrder("params.lr")],
        [ModelOrder("name"), ModelOrder("name", ascending=False)],
        [ModelOrder("")],
    ):
        with pytest.raises(Invalid):
            models(source, order_by=bad)


def test_logged_models_are_found_by_their_run(source: Run) -> None:
    make_logged_model(make_run(experiment=source.experiment), name="other")

    assert models(source, f"source_run_id = '{source.run_id}'") == ["c", "b", "a"]


def test_deleted_logged_models_are_not_found(source: Run) -> None:
    LoggedModel.objects.filter(name="b").update(deleted_at="2026-01-01T00:00Z")

    assert models(source) == ["c", "a"]
