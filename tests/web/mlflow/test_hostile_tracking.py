"""No value in any field of any tracking call is a crash, and none shows what is inside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.models import User
from tests.factories import make_logged_model, make_run
from tests.web.mlflow.conftest import API, Door
from tests.web.mlflow.test_hostile_input import INSIDE, VALUES
from tracking.models import Experiment, LoggedModel, Run
from web.mlflow.urls import TRACKING

pytestmark = pytest.mark.django_db
RUN, MODEL = "a" * 32, "m-" + "b" * 32
DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
SEARCH = {"filter": "name = 'a'", "max_results": 5, "order_by": ["name"], "page_token": ""}
RUN_SEARCH = {"experiment_ids": ["0"], "run_view_type": "ALL", "filter": "metrics.a > 1", "order_by": ["start_time"]}
MODEL_ORDER = [{"field_name": "name", "ascending": True, "dataset_name": "d", "dataset_digest": "1"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "experiments/create": ("POST", {"name": "n", "artifact_location": "", "tags": [{"key": "k", "value": "v"}]}),
    "experiments/get": ("GET", {"experiment_id": "0"}),
    "experiments/get-by-name": ("GET", {"experiment_name": "Default"}),
    "experiments/search": ("POST", {**SEARCH, "view_type": "ALL"}),
    "experiments/search-datasets": ("POST", {"experiment_ids": ["0"]}),
    "experiments/update": ("POST", {"experiment_id": "1", "new_name": "n"}),
    "experiments/delete": ("POST", {"experiment_id": "1"}),
    "experiments/restore": ("POST", {"experiment_id": "1"}),
    "experiments/set-experiment-tag": ("POST", {"experiment_id": "1", "key": "k", "value": "v"}),
    "experiments/delete-experiment-tag": ("POST", {"experiment_id": "1", "key": "k"}),
    "runs/create": ("POST", {"experiment_id": "0", "user_id": "u", "run_name": "n", "start_time": 1, "tags": []}),
    "runs/get": ("GET", {"run_id": RUN, "run_uuid": RUN}),
    "runs/update": ("POST", {"run_id": RUN, "status": "FINISHED", "end_time": 5, "run_name": "n"}),
    "runs/delete": ("POST", {"run_id": RUN}),
    "runs/restore": ("POST", {"run_id": RUN}),
    "runs/search": ("POST", {**RUN_SEARCH, "max_results": 5, "page_token": ""}),
    "runs/log-metric": (
        "POST",
        {"run_id": RUN, "key": "k", "value": 1, "timestamp": 1, "step": 1, "model_id": MODEL, "dataset_name": "d"},
    ),
    "runs/log-parameter": ("POST", {"run_id": RUN, "key": "k", "value": "v"}),
    "runs/log-batch": ("POST", {"run_id": RUN, "metrics": [], "params": [], "tags": []}),
    "runs/log-inputs": ("POST", {"run_id": RUN, "datasets": [{"tags": [], "dataset": DATASET}], "models": []}),
    "runs/log-model": ("POST", {"run_id": RUN, "model_json": "{}"}),
    "runs/outputs": ("POST", {"run_id": RUN, "models": [{"model_id": MODEL, "step": 1}]}),
    "runs/set-tag": ("POST", {"run_id": RUN, "key": "k", "value": "v"}),
    "runs/delete-tag": ("POST", {"run_id": RUN, "key": "k"}),
    "metrics/get-history": ("GET", {"run_id": RUN, "metric_key": "k", "max_results": "5", "page_token": ""}),
    "metrics/get-history-bulk": ("GET", {"run_id": RUN, "metric_key": "k", "max_results": "5"}),
    "metrics/get-history-bulk-interval": (
        "GET",
        {"run_ids": RUN, "metric_key": "k", "max_results": "5", "start_step": "0", "end_step": "5"},
    ),
    "artifacts/list": ("GET", {"run_id": RUN, "path": "p"}),
    "logged-models": (
        "POST",
        {"experiment_id": "0", "name": "n", "model_type": "t", "source_run_id": RUN, "params": [], "tags": []},
    ),
    "logged-models/search": (
        "POST",
        {"experiment_ids": ["0"], **SEARCH, "order_by": MODEL_ORDER, "datasets": [{"dataset_name": "d"}]},
    ),
    "logged-models/<str:model_id>": ("PATCH", {"model_id": MODEL, "status": "LOGGED_MODEL_READY"}),
    "logged-models/<str:model_id>/artifacts/directories": ("GET", {"artifact_directory_path": "p", "page_token": ""}),
    "logged-models/<str:model_id>/artifacts/files": ("GET", {"artifact_file_path": "p"}),
    "logged-models/<str:model_id>/tags": ("PATCH", {"tags": [{"key": "k", "value": "v"}]}),
    "logged-models/<str:model_id>/params": ("POST", {"params": [{"key": "k", "value": "v"}]}),
    "logged-models/<str:model_id>/tags/<path:key>": ("DELETE", {}),
}
# Objects inside lists, each with one field at a time replaced.
NESTED: dict[str, dict[str, dict[str, Any]]] = {
    "runs/log-batch": {
        "metrics": {
            "key": "k",
            "value": 1,
            "timestamp": 1,
            "step": 1,
            "model_id": MODEL,
            "dataset_name": "d",
            "dataset_digest": "1",
        },
        "params": {"key": "k", "value": "v"},
        "tags": {"key": "k", "value": "v"},
    },
    "runs/log-inputs": {"datasets": {"dataset": DATASET, "tags": [{"key": "k"}]}, "models": {"model_id": MODEL}},
    "runs/outputs": {"models": {"model_id": MODEL, "step": 1}},
    "logged-models/search": {"order_by": MODEL_ORDER[0], "datasets": {"dataset_name": "d", "dataset_digest": "1"}},
}


def bodies(path: str) -> list[dict[str, Any]]:
    fields = CALLS[path][1]
    found = [{**fields, field: value} for field in fields for value in VALUES]
    for listed, item in NESTED.get(path, {}).items():
        found += [{**fields, listed: [{**item, field: value}]} for field in item for value in VALUES]
    if path == "runs/log-inputs":
        found += [
            {**fields, "datasets": [{"dataset": {**DATASET, field: value}}]} for field in DATASET for value in VALUES
        ]
    return found


def test_the_table_above_covers_every_call() -> None:
    assert set(CALLS) == set(TRACKING)


@pytest.mark.parametrize("path", CALLS)
def test_no_value_in_any_field_is_a_crash(door: Door, mira: User, path: str) -> None:
    run = make_run(user=mira, run_id=RUN)
    made = make_logged_model(run)
    LoggedModel.objects.filter(pk=made.pk).update(model_id=MODEL)
    method = CALLS[path][0]
    target = path.replace("<str:model_id>", MODEL).replace("<path:key>", "k")

    for body in bodies(path):
        if method == "GET":
            query = {
                key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in body.items()
            }
            if any(isinstance(value, str) and "\ud800" in value for value in query.values()):
                continue  # no client can write this in a URL
            answer = door.send("GET", target, query=query)
        else:
            answer = door.send(method, target, body)
        text = answer.content.decode()
        shown = (path, repr(body)[:300], answer.status_code, text[:300])
        assert answer.status_code < 500, shown
        assert isinstance(json.loads(text), dict), shown
        if answer.status_code != 200:
            assert {"error_code", "message"} <= set(json.loads(text)), shown
            assert len(text) < 5000, shown
            assert not [
                word for word in INSIDE if word in text.replace("'; DROP TABLE registry_modelversion; --", "")
            ], shown
    _everything_is_readable(door)


def _everything_is_readable(door: Door) -> None:
    """What was taken can be read again."""
    ids = [str(pk) for pk in Experiment.objects.values_list("pk", flat=True)]
    assert door.post("experiments/search", max_results=10_000, view_type="ALL")["experiments"]
    assert door.post("runs/search", experiment_ids=ids, run_view_type="ALL", max_results=10_000)["runs"]
    assert door.post("logged-models/search", experiment_ids=ids, max_results=1000)["models"]


@pytest.mark.parametrize("path", [path for path, (method, _) in CALLS.items() if method != "GET"])
def test_reading_methods_change_nothing(door: Door, path: str) -> None:
    make_run(user=door.user, run_id=RUN)
    before = list(Run.objects.values()), list(Experiment.objects.values())
    target = path.replace("<str:model_id>", MODEL).replace("<path:key>", "k")

    for method in ("GET", "HEAD", "OPTIONS"):
        door.send(method, target, query=CALLS[path][1])

    assert (list(Run.objects.values()), list(Experiment.objects.values())) == before
    assert not LoggedModel.objects.exists()


@pytest.mark.parametrize("raw", [b"%00", b"%ff%fe", b"%ed%a0%80", b"a%0d%0aSet-Cookie:x", b"%2e%2e%2f", b"%25%32%65"])
@pytest.mark.parametrize("field", ["run_id", "experiment_id", "experiment_name", "metric_key", "page_token", "path"])
def test_strange_bytes_in_a_query_are_no_crash(door: Door, raw: bytes, field: str) -> None:
    for path in ("runs/get", "experiments/get", "experiments/get-by-name", "metrics/get-history", "artifacts/list"):
        answer = door.client.get(f"{API}{path}?{field}={raw.decode()}")
        assert answer.status_code < 500 and isinstance(json.loads(answer.content), dict)
