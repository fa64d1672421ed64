"""Experiments over the wire."""

from __future__ import annotations

import pytest

from tests.factories import make_experiment
from tests.web.mlflow.conftest import Door
from tracking.models import Experiment, Lifecycle

pytestmark = pytest.mark.django_db


def test_create_then_get_by_id_and_by_name(door: Door) -> None:
    made = door.post("experiments/create", name="churn", tags=[{"key": "team", "value": "risk"}])

    experiment = door.get("experiments/get", experiment_id=made["experiment_id"])["experiment"]
    assert door.get("experiments/get-by-name", experiment_name="churn") == {"experiment": experiment}
    assert {key: value for key, value in experiment.items() if not key.endswith("_time")} == {
        "experiment_id": made["experiment_id"],
        "name": "churn",
        "artifact_location": f"mlflow-artifacts:/{made['experiment_id']}",
        "lifecycle_stage": "active",
        "tags": [{"key": "team", "value": "risk"}],
    }
    assert isinstance(experiment["creation_time"], int) and isinstance(made["experiment_id"], str)


def test_the_default_experiment_has_the_id_0(door: Door) -> None:
    experiment = door.get("experiments/get", experiment_id="0")["experiment"]

    assert (experiment["name"], experiment["artifact_location"]) == ("Default", "mlflow-artifacts:/0")
    assert "tags" not in experiment


def test_what_is_absent_is_told_in_mlflows_words(door: Door) -> None:
    code = "RESOURCE_DOES_NOT_EXIST"

    assert door.refused("GET", "experiments/get", query={"experiment_id": "99"}) == (
        404,
        code,
        "No Experiment with id=99 exists",
    )
    assert door.refused("GET", "experiments/get-by-name", query={"experiment_name": "x"}) == (
        404,
        code,
        "Could not find experiment with name 'x'",
    )
    assert door.refused("POST", "experiments/create", {})[1] == "INVALID_PARAMETER_VALUE"


def test_a_taken_name_is_400_resource_already_exists(door: Door) -> None:
    assert door.refused("POST", "experiments/create", {"name": "Default"})[:2] == (400, "RESOURCE_ALREADY_EXISTS")


def test_update_delete_and_restore(door: Door) -> None:
    experiment_id = door.post("experiments/create", name="churn")["experiment_id"]

    assert door.post("experiments/update", experiment_id=experiment_id, new_name="attrition") == {}
    assert door.post("experiments/set-experiment-tag", experiment_id=experiment_id, key="a", value="b") == {}
    assert door.post("experiments/delete", experiment_id=experiment_id) == {}
    deleted = door.get("experiments/get", experiment_id=experiment_id)["experiment"]
    assert (deleted["name"], deleted["lifecycle_stage"], deleted["tags"]) == (
        "attrition",
        "deleted",
        [{"key": "a", "value": "b"}],
    )
    assert door.refused("POST", "experiments/delete", {"experiment_id": experiment_id})[0] == 404

    assert door.post("experiments/restore", experiment_id=experiment_id) == {}
    assert door.post("experiments/delete-experiment-tag", experiment_id=experiment_id, key="a") == {}
    assert "tags" not in door.get("experiments/get", experiment_id=experiment_id)["experiment"]


def test_others_change_nothing(door: Door, reader: Door) -> None:
    experiment_id = door.post("experiments/create", name="churn")["experiment_id"]

    for path, more in (
        ("update", {"new_name": "x"}),
        ("delete", {}),
        ("set-experiment-tag", {"key": "a", "value": "b"}),
    ):
        refused = reader.refused("POST", f"experiments/{path}", {"experiment_id": experiment_id, **more})
        assert refused[:2] == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_search_in_pages(door: Door, method: str) -> None:
    for name in ("a", "b", "c"):
        make_experiment(name)
    Experiment.objects.filter(name="c").update(lifecycle_stage=Lifecycle.DELETED)
    call = door.get if method == "GET" else door.post

    first = call("experiments/search", max_results=2, order_by=["name DESC"])
    second = call("experiments/search", max_results=2, order_by=["name DESC"], page_token=first["next_page_token"])

    assert [row["name"] for row in first["experiments"] + second["experiments"]] == ["b", "a", "Default"]
    assert "next_page_token" not in second


@pytest.mark.parametrize(
    ("view_type", "names"), [("DELETED_ONLY", ["c"]), (2, ["c"]), ("ALL", ["Default", "c"]), (3, ["Default", "c"])]
)
def test_search_by_view(door: Door, view_type: object, names: list[str]) -> None:
    Experiment.objects.filter(pk=make_experiment("c").pk).update(lifecycle_stage=Lifecycle.DELETED)

    found = door.post("experiments/search", max_results=10, view_type=view_type, order_by=["name"])

    assert [row["name"] for row in found["experiments"]] == names


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": 50_001},
        {"max_results": 5, "filter": "x"},
        {"max_results": 5, "page_token": "!"},
        {"max_results": 5, "view_type": "SOME"},
        {"max_results": 5, "order_by": "name"},
    ],
)
def test_bad_searches_are_refused(door: Door, body: dict[str, object]) -> None:
    assert door.refused("POST", "experiments/search", body)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_an_empty_answer_is_an_empty_object(door: Door) -> None:
    assert door.post("experiments/search", max_results=5, filter="name = 'absent'") == {}
