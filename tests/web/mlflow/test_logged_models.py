"""Logged models over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db


@pytest.fixture
def run_id(door: Door) -> str:
    made: str = door.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    return made


@pytest.fixture
def model_id(door: Door, run_id: str) -> str:
    body: dict[str, Any] = {"experiment_id": "0", "name": "churn", "source_run_id": run_id}
    made: str = door.post("logged-models", **body)["model"]["info"]["model_id"]
    return made


def test_create_then_get(door: Door, run_id: str) -> None:
    body: dict[str, Any] = {
        "experiment_id": "0", "name": "churn", "model_type": "agent", "source_run_id": run_id,
        "params": [{"key": "lr", "value": "1"}], "tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}],
    }  # fmt: skip

    made = door.post("logged-models", **body)["model"]

    info = made["info"]
    assert made == door.get(f"logged-models/{info['model_id']}")["model"]
    assert made == {
        "info": {
            "model_id": info["model_id"],
            "experiment_id": "0",
            "name": "churn",
            "creation_timestamp_ms": info["creation_timestamp_ms"],
            "last_updated_timestamp_ms": info["last_updated_timestamp_ms"],
            "artifact_uri": f"mlflow-artifacts:/0/models/{info['model_id']}/artifacts",
            "status": "LOGGED_MODEL_PENDING",
            "model_type": "agent",
            "source_run_id": run_id,
            "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
        },
        "data": {"params": [{"key": "lr", "value": "1"}]},
    }


def test_what_nobody_gave_is_empty_and_the_name_is_made(door: Door) -> None:
    info = door.post("logged-models", experiment_id="0")["model"]["info"]

    assert (info["model_type"], info["source_run_id"]) == ("", "") and info["name"]
    assert "tags" not in info


@pytest.mark.parametrize("status", ["LOGGED_MODEL_READY", 2, "LOGGED_MODEL_UPLOAD_FAILED"])
def test_finalize(door: Door, model_id: str, status: object) -> None:
    info = door.patch(f"logged-models/{model_id}", model_id=model_id, status=status)["model"]["info"]

    assert info["status"] == ("LOGGED_MODEL_READY" if status == 2 else status)


@pytest.mark.parametrize("body", [{}, {"status": "READY"}, {"status": 9}, {"status": None}, {"status": "²"}])
def test_a_bad_status_is_refused(door: Door, model_id: str, body: dict[str, object]) -> None:
    assert door.refused("PATCH", f"logged-models/{model_id}", body)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_tags_and_parameters(door: Door, model_id: str) -> None:
    tags = [{"key": "a/b", "value": "1"}, {"key": "c", "value": "2"}]

    assert door.patch(f"logged-models/{model_id}/tags", tags=tags) == {}
    assert door.post(f"logged-models/{model_id}/params", model_id=model_id, params=[{"key": "lr", "value": "1"}]) == {}
    assert door.delete(f"logged-models/{model_id}/tags/a/b") == {}
    model = door.get(f"logged-models/{model_id}")["model"]
    assert (model["info"]["tags"], model["data"]["params"]) == ([tags[1]], [{"key": "lr", "value": "1"}])
    assert door.refused("DELETE", f"logged-models/{model_id}/tags/a/b")[0] == 404


def test_delete_hides_it(door: Door, model_id: str) -> None:
    assert door.delete(f"logged-models/{model_id}") == door.delete(f"logged-models/{model_id}") == {}

    code = "RESOURCE_DOES_NOT_EXIST"
    assert door.refused("GET", f"logged-models/{model_id}") == (
        404,
        code,
        f"Logged model with ID '{model_id}' not found.",
    )
    assert door.get(f"logged-models/{model_id}", allow_deleted="true")["model"]["info"]["model_id"] == model_id
    assert door.post("logged-models/search", experiment_ids=["0"]) == {}


def test_others_change_nothing(reader: Door, model_id: str) -> None:
    path = f"logged-models/{model_id}"

    assert reader.refused("PATCH", path, {"status": "LOGGED_MODEL_READY"})[:2] == (403, "PERMISSION_DENIED")
    assert reader.refused("PATCH", f"{path}/tags", {"tags": [{"key": "a", "value": "b"}]})[0] == 403
    assert reader.refused("DELETE", path)[0] == 403
    assert reader.get(path)["model"]["info"]["status"] == "LOGGED_MODEL_PENDING"


def test_metrics_with_a_model_id_are_shown_under_the_model(door: Door, run_id: str, model_id: str) -> None:
    metric = {
        "key": "auc",
        "value": 1e22,
        "timestamp": 5,
        "step": 1,
        "model_id": model_id,
        "dataset_name": "d",
        "dataset_digest": "1",
    }

    door.post("runs/log-batch", run_id=run_id, metrics=[metric])

    assert door.get(f"logged-models/{model_id}")["model"]["data"]["metrics"] == [{**metric, "run_id": run_id}]
    found = door.post("logged-models/search", experiment_ids=["0"], filter="metrics.auc > 1e20")["models"]
    assert [model["info"]["model_id"] for model in found] == [model_id]
    on = [{"dataset_name": "other"}]
    assert door.post("logged-models/search", experiment_ids=["0"], filter="metrics.auc > 1", datasets=on) == {}


def test_search_in_pages_by_name(door: Door, run_id: str) -> None:
    made = [
        door.post("logged-models", experiment_id="0", name=name)["model"]["info"]["model_id"]
        for name in ("a", "b", "a")
    ]
    asked: dict[str, Any] = {"experiment_ids": ["0"], "filter": "name = 'a'", "max_results": 1}
    asked["order_by"] = [{"field_name": "creation_timestamp", "ascending": True}]

    first = door.post("logged-models/search", **asked)
    second = door.post("logged-models/search", **asked, page_token=first["next_page_token"])

    assert {row["info"]["model_id"] for row in first["models"] + second["models"]} == {made[0], made[2]}
    assert "next_page_token" not in second


def test_experiments_must_be_named_in_a_search(door: Door, model_id: str) -> None:
    assert "'experiment_ids'" in door.refused("POST", "logged-models/search", {})[2]
    assert door.post("logged-models/search", experiment_ids=[]) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"max_results": 0},
        {"filter": "stage = 'x'"},
        {"order_by": [{}]},
        {"order_by": ["name"]},
        {"order_by": [{"field_name": "x"}]},
        {"order_by": [{"field_name": "name", "ascending": "yes"}]},
        {"datasets": [{}]},
        {"page_token": "x"},
    ],
)
def test_bad_searches_are_refused(door: Door, body: dict[str, object]) -> None:
    assert door.refused("POST", "logged-models/search", {"experiment_ids": ["0"], **body})[0] == 400
