"""The history of metrics over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db


@pytest.fixture
def run_id(door: Door) -> str:
    """A run with five values of m, and one that is not a number."""
    made: str = door.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    points: list[dict[str, Any]] = [
        {"key": "m", "value": value, "timestamp": value, "step": value} for value in range(5)
    ]
    door.post("runs/log-batch", run_id=made, metrics=[*points, {"key": "n", "value": "NaN", "timestamp": 1, "step": 0}])
    return made


def test_history_of_several_runs(door: Door, run_id: str) -> None:
    found = door.get("metrics/get-history-bulk", run_id=[run_id, "unknown"], metric_key="m", max_results=1)

    assert found == {"metrics": [{"key": "m", "value": 0.0, "timestamp": 0, "step": 0, "run_id": run_id}]}
    assert door.get("metrics/get-history-bulk", run_id=run_id, metric_key="n")["metrics"][0]["value"] == "NaN"
    assert door.get("metrics/get-history-bulk", run_id=run_id, metric_key="absent") == {"metrics": []}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"metric_key": "m"}, "must specify at least one run_id"),
        ({"metric_key": "m", "run_id": ["a"] * 101}, "cannot specify more than 100 run_ids"),
        ({"run_id": "a"}, "must specify a metric_key"),
        ({"run_id": "a", "metric_key": "m", "max_results": -1}, "max_results"),
    ],
)
def test_bad_questions_about_several_runs(door: Door, query: dict[str, Any], said: str) -> None:
    status, code, message = door.refused("GET", "metrics/get-history-bulk", query=query)

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert said in message


def test_a_sample_for_charts(door: Door, run_id: str) -> None:
    asked = {"run_ids": run_id, "metric_key": "m"}

    found = door.get("metrics/get-history-bulk-interval", **asked, max_results=3)

    assert [point["step"] for point in found["metrics"]] == [0, 2, 4]
    assert found["metrics"][0] == {"key": "m", "value": 0.0, "timestamp": 0, "step": 0, "run_id": run_id}
    some = door.get("metrics/get-history-bulk-interval", **asked, start_step=1, end_step=2)
    assert [point["step"] for point in some["metrics"]] == [1, 2]
    assert door.get("metrics/get-history-bulk-interval", run_ids=run_id, metric_key="absent") == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"metric_key": "m"}, "Missing value for required parameter 'run_ids'"),
        ({"metric_key": "m", "run_ids": ["a"] * 101}, "must specify at most 100 run_ids"),
        ({"run_ids": "a"}, "Missing value for required parameter 'metric_key'"),
        ({"run_ids": "a", "metric_key": "m", "max_results": 0}, "max_results must be between 1 and 2500"),
        ({"run_ids": "a", "metric_key": "m", "start_step": 1}, "both must be specified"),
        (
            {"run_ids": "a", "metric_key": "m", "start_step": 1, "end_step": 0},
            "end_step must be greater than start_step",
        ),
    ],
)
def test_bad_questions_for_charts(door: Door, query: dict[str, Any], said: str) -> None:
    status, code, message = door.refused("GET", "metrics/get-history-bulk-interval", query=query)

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert said in message


def test_datasets_of_an_experiment(door: Door, run_id: str) -> None:
    dataset = {"name": "train", "digest": "d", "source_type": "local", "source": "{}"}
    context = [{"key": "mlflow.data.context", "value": "training"}]
    door.post("runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset, "tags": context}])

    found = door.post("experiments/search-datasets", experiment_ids=["0"])

    assert found == {
        "dataset_summaries": [{"experiment_id": "0", "name": "train", "digest": "d", "context": "training"}]
    }
    for bad, said in (([], "at least one experiment_id"), (["1"] * 21, "cannot specify more than 20")):
        assert said in door.refused("POST", "experiments/search-datasets", {"experiment_ids": bad})[2]


def test_history_in_pages_by_timestamp(door: Door, run_id: str) -> None:
    for timestamp, step in ((3, 0), (1, 5), (2, 1), (2, 0)):
        door.post("runs/log-metric", run_id=run_id, key="auc", value=timestamp, timestamp=timestamp, step=step)
    asked: dict[str, Any] = {"run_id": run_id, "metric_key": "auc", "max_results": 3}

    first = door.get("metrics/get-history", **asked)
    second = door.get("metrics/get-history", **asked, page_token=first["next_page_token"])

    points = [(point["timestamp"], point["step"]) for point in first["metrics"] + second["metrics"]]
    assert points == [(1, 5), (2, 0), (2, 1), (3, 0)]
    assert "next_page_token" not in second
    for bad in ({"max_results": 0}, {"page_token": "!"}):
        assert door.refused("GET", "metrics/get-history", query={**asked, **bad})[0] == 400
