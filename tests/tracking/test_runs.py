"""Runs: what is logged stands in the row and in the history, all of it or nothing, and only by who may."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from core import jobs
from core.errors import Invalid, NotFound, NotPermitted
from tests.factories import make_experiment, make_logged_model
from tracking.models import Lifecycle, LoggedModel, MetricPoint, Run, RunDataset
from tracking.services import runs as services
from tracking.services.runs import DatasetInput, Metric

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(mira: User) -> Run:
    return services.create_run(actor=mira, experiment_id="0", run_name="first")


def fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def auc(value: float, timestamp: int = 1000, step: int = 0, **more: Any) -> Metric:
    return Metric("auc", value, timestamp, step, **more)


# -- Starting and ending -----------------------------------------------------------------------------------------------


def test_a_run_starts_in_its_experiment(mira: User) -> None:
    run = services.create_run(actor=mira, experiment_id="0", user_id="m", start_time=5, tags={"mlflow.user": "m"})

    run = fresh(run)
    assert re.fullmatch("[0-9a-f]{32}", run.run_id)
    assert re.fullmatch("[a-z]+-[a-z]+-[0-9]{1,3}", run.run_name)
    assert (run.experiment_id, run.user, run.user_id_sent, run.start_time, run.status) == (0, mira, "m", 5, "RUNNING")
    assert run.tags == {"mlflow.user": "m", "mlflow.runName": run.run_name}


def test_the_name_may_come_as_a_tag_but_not_two_names(mira: User) -> None:
    tagged = services.create_run(actor=mira, experiment_id="0", tags={"mlflow.runName": "tagged"})

    assert tagged.run_name == "tagged"
    with pytest.raises(Invalid, match=r"mlflow\.runName"):
        services.create_run(actor=mira, experiment_id="0", run_name="a", tags={"mlflow.runName": "b"})


def test_no_run_starts_in_an_unknown_or_deleted_experiment(mira: User) -> None:
    deleted = make_experiment()
    type(deleted).objects.filter(pk=deleted.pk).update(lifecycle_stage=Lifecycle.DELETED)

    with pytest.raises(NotFound):
        services.create_run(actor=mira, experiment_id="99")
    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.create_run(actor=mira, experiment_id=str(deleted.pk))
    assert not Run.objects.exists()


def test_updating_changes_what_is_given(mira: User, run: Run) -> None:
    services.update_run(actor=mira, run_id=run.run_id, status="FINISHED", end_time=9)
    services.update_run(actor=mira, run_id=run.run_id, run_name="second")

    after = fresh(run)
    assert (after.status, after.end_time, after.run_name, after.tags["mlflow.runName"]) == (
        "FINISHED",
        9,
        "second",
        "second",
    )


def test_a_deleted_run_stays_readable_and_refuses_writes(mira: User, run: Run) -> None:
    services.set_run_lifecycle(actor=mira, run_id=run.run_id, stage=Lifecycle.DELETED)

    assert services.get_run(run.run_id).lifecycle_stage == "deleted"
    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.log_batch(actor=mira, run_id=run.run_id, params=[("lr", "1")])

    services.set_run_lifecycle(actor=mira, run_id=run.run_id, stage=Lifecycle.ACTIVE)
    services.log_batch(actor=mira, run_id=run.run_id, params=[("lr", "1")])


# -- Who may -----------------------------------------------------------------------------------------------------------

WRITES: dict[str, Callable[[User, str], object]] = {
    "update": lambda actor, run_id: services.update_run(actor=actor, run_id=run_id, status="FAILED"),
    "delete": lambda actor, run_id: services.set_run_lifecycle(actor=actor, run_id=run_id, stage=Lifecycle.DELETED),
    "log": lambda actor, run_id: services.log_batch(actor=actor, run_id=run_id, metrics=[auc(1)]),
    "tag": lambda actor, run_id: services.set_run_tag(actor=actor, run_id=run_id, key="a", value="b"),
    "untag": lambda actor, run_id: services.delete_run_tag(actor=actor, run_id=run_id, key="mlflow.runName"),
    "inputs": lambda actor, run_id: services.log_inputs(actor=actor, run_id=run_id, models=["m-1"]),
    "outputs": lambda actor, run_id: services.log_outputs(actor=actor, run_id=run_id, models=[("m-1", 0)]),
    "model": lambda actor, run_id: services.log_model_json(actor=actor, run_id=run_id, model_json=MODEL_JSON),
}
MODEL_JSON = json.dumps({"artifact_path": "m", "flavors": {}, "utc_time_created": "now", "run_id": "r"})


@pytest.mark.parametrize("write", WRITES)
def test_nobody_writes_to_somebody_elses_run(run: Run, sam: User, write: str) -> None:
    before = Run.objects.filter(pk=run.pk).values().get()

    with pytest.raises(NotPermitted, match="mira"):
        WRITES[write](sam, run.run_id)

    assert Run.objects.filter(pk=run.pk).values().get() == before
    assert not MetricPoint.objects.exists()


@pytest.mark.parametrize("write", WRITES)
def test_administrators_and_service_accounts_of_the_person_do(run: Run, admin: User, ci_bot: User, write: str) -> None:
    for actor in (admin, ci_bot):
        Run.objects.filter(pk=run.pk).update(tags={"mlflow.runName": "x"}, lifecycle_stage=Lifecycle.ACTIVE)
        WRITES[write](actor, run.run_id)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("run_id", ["", "x", "0" * 32, "0" * 33, "ü" * 500])
def test_an_unknown_run_is_not_found(mira: User, write: str, run_id: str) -> None:
    with pytest.raises(NotFound, match="Run with id="):
        WRITES[write](mira, run_id)


# -- Metrics -----------------------------------------------------------------------------------------------------------


def test_the_last_value_is_the_largest_step_then_timestamp_then_value(mira: User, run: Run) -> None:
    points = [auc(0.5, 1000, 2), auc(0.9, 5000, 1), auc(0.6, 1000, 2), auc(0.1, 2000, 2), auc(0.05, 2000, 2)]

    for point in points:
        services.log_batch(actor=mira, run_id=run.run_id, metrics=[point])

    assert fresh(run).metrics == {"auc": {"value": 0.1, "timestamp": 2000, "step": 2}}
    assert MetricPoint.objects.filter(run=run, key="auc").count() == 5


def test_the_order_within_a_batch_does_not_matter(mira: User) -> None:
    points = [auc(0.5, 1000, 2), auc(0.9, 5000, 1), auc(0.1, 2000, 2), auc(math.nan, 2000, 2)]
    last = []

    for batch in (points, points[::-1]):
        run = services.create_run(actor=mira, experiment_id="0")
        services.log_batch(actor=mira, run_id=run.run_id, metrics=batch)
        last.append(fresh(run).metrics["auc"]["value"])

    assert last == [0.1, 0.1]


def test_the_same_point_again_adds_no_row(mira: User, run: Run) -> None:
    for _ in range(2):
        services.log_batch(actor=mira, run_id=run.run_id, metrics=[auc(0.5), auc(0.5), auc(math.nan), auc(math.nan)])

    assert MetricPoint.objects.filter(run=run).count() == 2


def test_nan_is_kept_and_infinity_is_the_largest_double(mira: User, run: Run) -> None:
    metrics = [Metric("nan", math.nan, 1), Metric("up", math.inf, 1), Metric("down", -math.inf, 1)]

    services.log_batch(actor=mira, run_id=run.run_id, metrics=metrics)

    metrics_now = fresh(run).metrics
    values = {key: metrics_now[key]["value"] for key in ("up", "down")}  # PostgreSQL's JSON has them as integers
    assert metrics_now["nan"]["value"] == "NaN"
    assert {key: float(value) for key, value in values.items()} == {
        "up": sys.float_info.max,
        "down": -sys.float_info.max,
    }
    assert MetricPoint.objects.get(run=run, key="nan").is_nan
    assert MetricPoint.objects.get(run=run, key="up").value == sys.float_info.max


def test_a_thousand_metrics_take_a_few_statements(mira: User, run: Run) -> None:
    def statements(count: int) -> int:
        metrics = [Metric(f"m{n}", n / 7, 1000 + n, n) for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            services.log_batch(actor=mira, run_id=run.run_id, metrics=metrics)
        return len(captured)

    assert statements(1) <= 6
    assert statements(1000) <= 16
    assert MetricPoint.objects.filter(run=run).count() == 1000  # the first is among them


@pytest.mark.parametrize(
    "metric",
    [Metric("", 1, 1), Metric("a/../b", 1, 1), Metric("k" * 251, 1, 1), Metric("a\nb", 1, 1), Metric("auc", 1, -1)],
)
def test_a_bad_metric_is_refused(mira: User, run: Run, metric: Metric) -> None:
    with pytest.raises(Invalid):
        services.log_batch(actor=mira, run_id=run.run_id, metrics=[auc(1), metric])

    assert fresh(run).metrics == {} and not MetricPoint.objects.exists()


def test_a_metric_of_a_logged_model_is_shown_there_too(mira: User, run: Run) -> None:
    model = make_logged_model(run)
    on = {"model_id": model.model_id, "dataset_name": "test", "dataset_digest": "d"}

    services.log_batch(
        actor=mira, run_id=run.run_id, metrics=[auc(0.5, 1, 1, **on), auc(0.7, 3, 2, **on), auc(0.6, 2, 1, **on)]
    )
    services.log_batch(actor=mira, run_id=run.run_id, metrics=[auc(0.1, 9, 0, **on)])

    assert LoggedModel.objects.get(pk=model.pk).metrics == [
        {"key": "auc", "run_id": run.run_id, "value": 0.7, "timestamp": 3, "step": 2, **on}
    ]


def test_a_metric_does_not_reach_a_logged_model_of_somebody_else(sam: User, run: Run) -> None:
    model = make_logged_model(run)
    own = services.create_run(actor=sam, experiment_id="0")

    services.log_batch(actor=sam, run_id=own.run_id, metrics=[auc(1.0, model_id=model.model_id)])

    assert LoggedModel.objects.get(pk=model.pk).metrics == []
    assert fresh(own).metrics["auc"]["model_id"] == model.model_id


# -- Parameters, tags, limits ------------------------------------------------------------------------------------------


def test_a_parameter_keeps_its_first_value(mira: User, run: Run) -> None:
    services.log_batch(actor=mira, run_id=run.run_id, params=[("lr", "0.1")])
    services.log_batch(actor=mira, run_id=run.run_id, params=[("lr", "0.1")])

    with pytest.raises(Invalid, match="Changing param values is not allowed"):
        services.log_batch(actor=mira, run_id=run.run_id, params=[("new", "1"), ("lr", "0.2")])
    assert fresh(run).params == {"lr": "0.1"}


def test_long_values_are_cut(mira: User, run: Run) -> None:
    services.log_batch(actor=mira, run_id=run.run_id, params=[("p", "x" * 6001)], tags={"t": "y" * 8001})
    services.log_batch(actor=mira, run_id=run.run_id, params=[("p", "x" * 6001)])

    assert len(fresh(run).params["p"]) == 6000 and len(fresh(run).tags["t"]) == 8000


def test_the_name_tag_renames_the_run(mira: User, run: Run) -> None:
    services.set_run_tag(actor=mira, run_id=run.run_id, key="mlflow.runName", value="n" * 300)

    assert fresh(run).run_name == fresh(run).tags["mlflow.runName"] == "n" * 250


def test_a_tag_is_deleted_once(mira: User, run: Run) -> None:
    services.set_run_tag(actor=mira, run_id=run.run_id, key="a", value="")
    services.delete_run_tag(actor=mira, run_id=run.run_id, key="a")

    with pytest.raises(NotFound, match="No tag with name: a"):
        services.delete_run_tag(actor=mira, run_id=run.run_id, key="a")


@pytest.mark.parametrize(
    ("metrics", "params", "tags"), [(1001, 0, 0), (0, 101, 0), (0, 0, 101), (950, 51, 0), (1000, 0, 1)]
)
def test_too_large_a_batch_is_refused_whole(mira: User, run: Run, metrics: int, params: int, tags: int) -> None:
    with pytest.raises(Invalid, match="A batch logging request can contain at most"):
        services.log_batch(
            actor=mira,
            run_id=run.run_id,
            metrics=[Metric(f"m{n}", 1, 1) for n in range(metrics)],
            params=[(f"p{n}", "v") for n in range(params)],
            tags={f"t{n}": "v" for n in range(tags)},
        )
    assert (fresh(run).metrics, fresh(run).params) == ({}, {}) and not MetricPoint.objects.exists()


def test_a_batch_with_one_bad_entry_changes_nothing(mira: User, run: Run) -> None:
    services.log_batch(actor=mira, run_id=run.run_id, params=[("lr", "0.1")])
    bad: list[dict[str, Any]] = [
        {"params": [("lr", "0.2")]},
        {"params": [("a", "1"), ("a", "1")]},
        {"params": [("a;b", "1")]},
        {"tags": {"a;b": "1"}},
        {"metrics": [auc(0.5), auc(1, -5)]},
    ]

    for batch in bad:
        with pytest.raises(Invalid):
            services.log_batch(
                **{"actor": mira, "run_id": run.run_id, "metrics": [auc(0.5)], "tags": {"x": "y"}, **batch}
            )

    after = fresh(run)
    assert (after.params, after.metrics, after.tags) == ({"lr": "0.1"}, {}, {"mlflow.runName": "first"})
    assert not MetricPoint.objects.exists()


# -- Inputs, outputs, models -------------------------------------------------------------------------------------------


def dataset(name: str = "train", **fields: Any) -> DatasetInput:
    values = {
        "source_type": "local",
        "source": "{}",
        "schema": "{}",
        "profile": "{}",
        "tags": {"mlflow.data.context": "training"},
    }
    return DatasetInput(**{"name": name, "digest": "d1", **values, **fields})


def test_a_dataset_is_noted_once(mira: User, run: Run) -> None:
    for _ in range(2):
        services.log_inputs(
            actor=mira, run_id=run.run_id, datasets=[dataset(), dataset(digest="d2")], models=["m-1", "m-1"]
        )

    assert [(d.name, d.digest) for d in RunDataset.objects.filter(run=run).order_by("digest")] == [
        ("train", "d1"),
        ("train", "d2"),
    ]
    assert fresh(run).inputs == {"models": ["m-1"]}


def test_outputs_are_noted_once(mira: User, run: Run) -> None:
    for _ in range(2):
        services.log_outputs(actor=mira, run_id=run.run_id, models=[("m-1", 0), ("m-1", 0), ("m-1", 1)])

    assert fresh(run).outputs == [{"model_id": "m-1", "step": 0}, {"model_id": "m-1", "step": 1}]


def test_models_of_an_older_client_are_appended(mira: User, run: Run) -> None:
    for _ in range(2):
        services.log_model_json(actor=mira, run_id=run.run_id, model_json=MODEL_JSON)

    assert json.loads(fresh(run).tags["mlflow.log-model.history"]) == [json.loads(MODEL_JSON)] * 2


@pytest.mark.parametrize("noted", ["not json", "{}", "5", "[" * 100_000])
def test_a_foreign_history_of_models_starts_anew(mira: User, run: Run, noted: str) -> None:
    Run.objects.filter(pk=run.pk).update(tags={"mlflow.log-model.history": noted})

    services.log_model_json(actor=mira, run_id=run.run_id, model_json=MODEL_JSON)

    assert json.loads(fresh(run).tags["mlflow.log-model.history"]) == [json.loads(MODEL_JSON)]


@pytest.mark.parametrize(
    "model_json",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"artifact_path": "m"}',
        "[" * 100_000,
        "9" * 5000,
        json.dumps({**json.loads(MODEL_JSON), "x": "y" * 1_000_000}),
    ],
)
def test_a_malformed_model_is_refused(mira: User, run: Run, model_json: str) -> None:
    with pytest.raises(Invalid):
        services.log_model_json(actor=mira, run_id=run.run_id, model_json=model_json)

    assert "mlflow.log-model.history" not in fresh(run).tags


# -- Announcing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["update", "log", "tag", "untag", "inputs", "outputs", "model"])
def test_changes_are_announced_once_versions_hang_on_the_run(
    mira: User, run: Run, write: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(jobs, "after_commit", lambda *args: sent.append(args))

    WRITES[write](mira, run.run_id)
    assert sent == []

    Run.objects.filter(pk=run.pk).update(has_versions=True, tags={"mlflow.runName": "x"})
    WRITES[write](mira, run.run_id)
    assert sent == [(settings.RUN_CHANGED_TASK, run.run_id)]
