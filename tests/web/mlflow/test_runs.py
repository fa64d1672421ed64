"""Runs and metrics over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from tests.factories import make_experiment, make_run
from tests.web.mlflow.conftest import Door
from tracking.models import MetricPoint, Run, RunDataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(door: Door) -> dict[str, Any]:
    """A run that mira started."""
    info: dict[str, Any] = door.post("runs/create", experiment_id="0", run_name="first")["run"]["info"]
    return info


def test_create_answers_with_the_whole_run(door: Door) -> None:
    tags = [{"key": "mlflow.user", "value": "m"}]

    answer = door.post("runs/create", experiment_id="0", run_name="first", user_id="m", start_time=5, tags=tags)

    info = answer["run"]["info"]
    assert answer["run"] == {
        "info": {
            "run_id": info["run_id"],
            "run_uuid": info["run_id"],
            "run_name": "first",
            "experiment_id": "0",
            "user_id": "m",
            "status": "RUNNING",
            "start_time": 5,
            "artifact_uri": f"mlflow-artifacts:/0/{info['run_id']}/artifacts",
            "lifecycle_stage": "active",
        },
        "data": {"tags": [*tags, {"key": "mlflow.runName", "value": "first"}]},
        "inputs": {},
    }


def test_a_run_knows_all_that_was_logged(door: Door, run: dict[str, Any]) -> None:
    run_id = run["run_id"]
    dataset = {"name": "train", "digest": "d1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
    context = [{"key": "mlflow.data.context", "value": "training"}]

    assert door.post("runs/log-parameter", run_id=run_id, key="lr", value="0.1") == {}
    assert door.post("runs/log-metric", run_id=run_id, key="auc", value=0.5, timestamp="7", step=2) == {}
    assert door.post("runs/set-tag", run_id=run_id, key="team", value="risk") == {}
    assert (
        door.post(
            "runs/log-inputs",
            run_id=run_id,
            datasets=[{"tags": context, "dataset": dataset}],
            models=[{"model_id": "m-1"}],
        )
        == {}
    )
    assert door.post("runs/outputs", run_id=run_id, models=[{"model_id": "m-2", "step": "3"}]) == {}
    assert door.post("runs/update", run_id=run_id, status="FINISHED", end_time=9)["run_info"]["end_time"] == 9

    read = door.get("runs/get", run_id=run_id, run_uuid=run_id)["run"]
    assert read["info"]["status"] == "FINISHED"
    read["data"]["tags"].sort(key=lambda tag: tag["key"])
    assert read["data"] == {
        "metrics": [{"key": "auc", "value": 0.5, "timestamp": 7, "step": 2, "run_id": run_id}],
        "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "mlflow.runName", "value": "first"}, {"key": "team", "value": "risk"}],
    }
    assert read["inputs"] == {
        "dataset_inputs": [{"tags": context, "dataset": dataset}],
        "model_inputs": [{"model_id": "m-1"}],
    }
    assert read["outputs"] == {"model_outputs": [{"model_id": "m-2", "step": 3}]}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (0.1, 0.1),
        (3, 3.0),
        ("NaN", "NaN"),
        ("Infinity", 1.7976931348623157e308),
        ("-Infinity", -1.7976931348623157e308),
        (1e22, 1e22),
        (-1.7976931348623157e308, -1.7976931348623157e308),
        (5e-324, 5e-324),
        ("1.5", 1.5),
        (2**63, float(2**63)),
        (-0.0, 0.0),
    ],
)
def test_every_number_comes_back(door: Door, run: dict[str, Any], sent: object, shown: object) -> None:
    door.post("runs/log-metric", run_id=run["run_id"], key="m", value=sent, timestamp=1)

    assert door.get("runs/get", run_id=run["run_id"])["run"]["data"]["metrics"][0]["value"] == shown
    assert door.post("runs/search", experiment_ids=["0"])["runs"][0]["data"]["metrics"][0]["value"] == shown
    assert door.get("metrics/get-history", run_id=run["run_id"], metric_key="m")["metrics"][0]["value"] == shown


@pytest.mark.parametrize("value", [None, True, "high", "", [1], {"a": 1}, 10**400])
def test_what_is_no_number_is_refused(door: Door, run: dict[str, Any], value: object) -> None:
    body = {"run_id": run["run_id"], "key": "m", "value": value, "timestamp": 1}

    assert door.refused("POST", "runs/log-metric", body)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert not MetricPoint.objects.exists()


def test_a_batch_names_the_entry_at_fault_and_changes_nothing(door: Door, run: dict[str, Any]) -> None:
    good = {"key": "a", "value": 1, "timestamp": 1}
    batch = {
        "run_id": run["run_id"],
        "params": [{"key": "p", "value": "1"}],
        "metrics": [good, {"key": "b", "timestamp": 1}],
    }

    status, code, message = door.refused("POST", "runs/log-batch", batch)

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and "'metrics[1].value'" in message
    assert door.get("runs/get", run_id=run["run_id"])["run"]["data"] == {
        "tags": [{"key": "mlflow.runName", "value": "first"}]
    }


def test_a_batch_of_a_thousand(door: Door, run: dict[str, Any]) -> None:
    metrics = [{"key": f"m{n % 10}", "value": n / 3, "timestamp": n, "step": n} for n in range(1000)]

    with CaptureQueriesContext(connection) as captured:
        assert door.post("runs/log-batch", run_id=run["run_id"], metrics=metrics) == {}

    assert len(captured) <= 18
    assert MetricPoint.objects.count() == 1000


def test_a_parameter_does_not_change(door: Door, run: dict[str, Any]) -> None:
    door.post("runs/log-parameter", run_id=run["run_id"], key="lr", value="0.1")

    refused = door.refused("POST", "runs/log-parameter", {"run_id": run["run_id"], "key": "lr", "value": "0.2"})

    assert refused[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert refused[2].startswith("Changing param values is not allowed.")


def test_tags_of_runs(door: Door, run: dict[str, Any]) -> None:
    run_id = run["run_id"]
    door.post("runs/set-tag", run_id=run_id, key="a", value="b")

    assert door.post("runs/delete-tag", run_id=run_id, key="a") == {}
    assert door.refused("POST", "runs/delete-tag", {"run_id": run_id, "key": "a"})[:2] == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )


def test_delete_and_restore(door: Door, run: dict[str, Any]) -> None:
    run_id = run["run_id"]

    assert door.post("runs/delete", run_id=run_id) == {}
    assert door.get("runs/get", run_id=run_id)["run"]["info"]["lifecycle_stage"] == "deleted"
    refused = door.refused("POST", "runs/set-tag", {"run_id": run_id, "key": "a", "value": "b"})
    assert refused[2] == f"The run {run_id} must be in the 'active' state. Current state is deleted."
    assert door.post("runs/search", experiment_ids=["0"]) == {}
    assert door.post("runs/restore", run_id=run_id) == {}
    assert len(door.post("runs/search", experiment_ids=["0"])["runs"]) == 1


def test_what_is_absent(door: Door) -> None:
    for method, path in (("GET", "runs/get"), ("POST", "runs/update"), ("POST", "runs/delete")):
        body = {"run_id": "f" * 32}
        refused = door.refused(method, path, None if method == "GET" else body, query=body if method == "GET" else None)
        assert refused == (404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={'f' * 32} not found")
    assert "'run_id'" in door.refused("GET", "runs/get")[2]
    assert door.get("metrics/get-history", run_id="f" * 32, metric_key="auc") == {}


def test_others_write_nothing(run: dict[str, Any], reader: Door) -> None:
    for path, more in (
        ("runs/update", {"status": "FAILED"}),
        ("runs/log-metric", {"key": "auc", "value": 1, "timestamp": 1}),
        ("runs/log-batch", {}),
        ("runs/delete", {}),
    ):
        assert reader.refused("POST", path, {"run_id": run["run_id"], **more})[:2] == (403, "PERMISSION_DENIED")
    assert reader.get("runs/get", run_id=run["run_id"])["run"]["info"]["status"] == "RUNNING"


def test_a_read_only_token_searches_and_writes_nothing(mira: User, run: dict[str, Any]) -> None:
    door = Door(mira, read_only=True)

    assert len(door.post("runs/search", experiment_ids=["0"])["runs"]) == 1
    assert door.refused("POST", "runs/set-tag", {"run_id": run["run_id"], "key": "a", "value": "b"})[0] == 403
    assert door.refused("POST", "runs/create", {"experiment_id": "0"})[0] == 403


def test_an_unknown_status_is_refused(door: Door, run: dict[str, Any]) -> None:
    assert door.refused("POST", "runs/update", {"run_id": run["run_id"], "status": "DONE"})[0] == 400
    assert door.post("runs/update", run_id=run["run_id"], status=3)["run_info"]["status"] == "FINISHED"


def test_search_takes_the_same_statements_for_one_run_and_for_many(door: Door) -> None:
    experiment = make_experiment()

    def statements() -> int:
        run = make_run(experiment=experiment, metrics={"auc": 0.5})
        RunDataset.objects.create(run=run, name="train", digest="d", profile="large", tags={})
        with CaptureQueriesContext(connection) as captured:
            found = door.post("runs/search", experiment_ids=[str(experiment.pk)], filter="metrics.auc > 0")["runs"]
        assert len(found) == Run.objects.filter(experiment=experiment).count()
        assert found[0]["inputs"]["dataset_inputs"][0]["dataset"] == {
            "name": "train",
            "digest": "d",
            "source_type": "",
            "source": "",
        }
        return len(captured)

    statements()  # the token's first use is noted
    assert statements() == statements() == statements()


@pytest.mark.parametrize(
    "body",
    [
        {"max_results": 0},
        {"max_results": 50_001},
        {"filter": "x"},
        {"filter": " "},
        {"order_by": [""]},
        {"page_token": "x"},
        {"run_view_type": "SOME"},
        {"experiment_ids": "0"},
        {"experiment_ids": [0]},
        {"order_by": [5]},
    ],
)
def test_bad_searches_are_refused(door: Door, body: dict[str, object]) -> None:
    assert door.refused("POST", "runs/search", {"experiment_ids": ["0"], **body})[:2] == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


def test_a_search_without_experiments_finds_nothing(door: Door, run: dict[str, Any]) -> None:
    assert door.post("runs/search") == door.post("runs/search", experiment_ids=["77"]) == {}
    assert door.refused("POST", "runs/search", {"experiment_ids": ["x"]})[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_the_run_is_looked_at_before_the_rest(door: Door) -> None:
    """Whoever sends several mistakes at once hears of the same one as from MLflow's server."""
    for call in ("log-metric", "log-parameter", "set-tag", "log-inputs", "outputs"):
        mistakes = {"run_id": 31, "key": 41, "value": 41, "datasets": 5, "models": 5}
        assert "parameter 'run_id'" in door.refused("POST", f"runs/{call}", mistakes)[2]


def test_an_empty_name_renames_no_run(door: Door, run: dict[str, Any]) -> None:
    door.post("runs/set-tag", run_id=run["run_id"], key="mlflow.runName", value="")

    read = door.get("runs/get", run_id=run["run_id"])["run"]
    assert read["info"]["run_name"] == "first"
    assert read["data"]["tags"] == [{"key": "mlflow.runName", "value": "first"}]


def test_models_of_the_older_client(door: Door, run: dict[str, Any]) -> None:
    model = '{"artifact_path": "model", "flavors": {}, "utc_time_created": "now", "run_id": "r"}'

    assert door.post("runs/log-model", run_id=run["run_id"], model_json=model) == {}
    tags = door.get("runs/get", run_id=run["run_id"])["run"]["data"]["tags"]
    assert {"key": "mlflow.log-model.history", "value": f"[{model}]"} in tags
    assert door.refused("POST", "runs/log-model", {"run_id": run["run_id"], "model_json": "{}"})[0] == 400


def test_a_large_profile_is_taken(door: Door, run: dict[str, Any]) -> None:
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "profile": "p" * 9_000_000}

    assert door.post("runs/log-inputs", run_id=run["run_id"], datasets=[{"dataset": dataset}]) == {}
    assert RunDataset.objects.get().profile == dataset["profile"]


@pytest.mark.parametrize(
    ("field", "size"),
    [("name", 501), ("digest", 37), ("source", 65_536), ("schema", 1_048_576), ("profile", 16_777_216)],
)
def test_too_long_fields_of_a_dataset_are_refused(door: Door, run: dict[str, Any], field: str, size: int) -> None:
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", field: "x" * size}

    assert (
        door.refused("POST", "runs/log-inputs", {"run_id": run["run_id"], "datasets": [{"dataset": dataset}]})[0] == 400
    )
    assert not RunDataset.objects.exists()
