"""/api/2.0/mlflow/model-versions/…: what stock clients send, and what they must get back."""

from __future__ import annotations

from typing import Any

import pytest

from core.clock import now_ms
from registry.models import ModelVersion
from tests.factories import make_logged_model, make_model, make_run, make_version
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

HINT = "See the API docs for more information about request parameters."
NOT_FOUND = (404, "RESOURCE_DOES_NOT_EXIST", "Model Version (name=churn, version={}) not found")


def test_creating_answers_with_a_version_that_is_ready(door: Door) -> None:
    make_model("churn")

    version = door.post("model-versions/create", name="churn", source="s3://bucket/model")["model_version"]

    assert version.pop("creation_timestamp") == version.pop("last_updated_timestamp") <= now_ms()
    assert version == {
        "name": "churn", "version": "1", "current_stage": "None", "description": "", "source": "s3://bucket/model",
        "run_id": "",
        "run_link": "", "status": "READY", "user_id": "mira",
    }  # fmt: skip


def test_creating_from_a_logged_model_fills_in_the_run(door: Door) -> None:
    make_model("churn")
    run = make_run()
    logged = make_logged_model(run)

    version = door.post(
        "model-versions/create",
        name="churn", source=f"models:/{logged.model_id}", model_id=logged.model_id, tags=[{"key": "a", "value": "1"}],
        description="x",
    )["model_version"]  # fmt: skip

    assert (version["run_id"], version["tags"], version["description"]) == (
        run.run_id,
        [{"key": "a", "value": "1"}],
        "x",
    )
    uri = door.get("model-versions/get-download-uri", name="churn", version="1")["artifact_uri"]
    assert uri == f"mlflow-artifacts:/{run.experiment_id}/models/{logged.model_id}/artifacts"


def test_creating_for_an_absent_model_is_not_found(door: Door) -> None:
    assert door.refused("POST", "model-versions/create", {"name": "churn", "source": "s3://bucket/x"}) == (
        404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=churn not found"
    )  # fmt: skip


@pytest.mark.parametrize("version", ["1", 1, "01", " 1", "+1"])
def test_a_version_number_is_read_like_python_does(door: Door, version: object) -> None:
    make_version("churn")

    assert door.get("model-versions/get", name="churn", version=version)["model_version"]["version"] == "1"


@pytest.mark.parametrize("version", ["0", "-1", "2", "99999999999999999999"])
def test_numbers_that_no_version_has_are_not_found(door: Door, version: str) -> None:
    make_version("churn")

    status, code, message = door.refused("GET", "model-versions/get", query={"name": "churn", "version": version})
    assert (status, code) == (404, "RESOURCE_DOES_NOT_EXIST") and "not found" in message


@pytest.mark.parametrize("version", ["x", "1.5", "١x", "1e3", "0x1"])
def test_what_is_no_number_is_refused(door: Door, version: str) -> None:
    make_version("churn")

    assert door.refused("GET", "model-versions/get", query={"name": "churn", "version": version}) == (
        400, "INVALID_PARAMETER_VALUE", f"Parameter 'version' must be an integer, got '{version}'."
    )  # fmt: skip


def test_an_update_without_a_description_clears_it(door: Door) -> None:
    make_version("churn", description="old")

    assert door.patch("model-versions/update", name="churn", version="1")["model_version"]["description"] == ""


def test_a_transition_with_archive_moves_both(door: Door) -> None:
    model = make_model("churn")
    make_version(model, stage="Production")
    make_version(model)

    version = door.post(
        "model-versions/transition-stage", name="churn", version="2", stage="production", archive_existing_versions=True
    )["model_version"]

    assert (version["version"], version["current_stage"]) == ("2", "Production")
    assert door.get("model-versions/get", name="churn", version="1")["model_version"]["current_stage"] == "Archived"


@pytest.mark.parametrize("flag", ["true", 1, "yes", [], {}])
def test_the_archive_flag_is_a_boolean(door: Door, flag: object) -> None:
    make_version("churn")

    body = {"name": "churn", "version": "1", "stage": "Staging", "archive_existing_versions": flag}
    assert door.refused("POST", "model-versions/transition-stage", body)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_no_flag_and_null_archive_nothing(door: Door) -> None:
    model = make_model("churn")
    make_version(model, stage="Staging")
    make_version(model)

    door.post(
        "model-versions/transition-stage", name="churn", version="2", stage="Staging", archive_existing_versions=None
    )

    assert set(ModelVersion.objects.values_list("current_stage", flat=True)) == {"Staging"}


@pytest.mark.parametrize("stage", ["Live", " Production", "Prod", "None "])
def test_an_unknown_stage_is_400_with_the_list(door: Door, stage: str) -> None:
    make_version("churn")

    assert door.refused("POST", "model-versions/transition-stage", {"name": "churn", "version": "1",
    "stage": stage}) == (
        400, "INVALID_PARAMETER_VALUE",
        f"Invalid Model Version stage: {stage}. Value must be one of None, Staging, Production, Archived.",
    )  # fmt: skip


def test_who_may_not_move_is_refused_in_words(reader: Door) -> None:
    make_version("churn")

    status, code, message = reader.refused(
        "POST", "model-versions/transition-stage", {"name": "churn", "version": "1", "stage": "Production"}
    )
    assert (status, code) == (403, "PERMISSION_DENIED") and "MANAGE_PRODUCTION_VERSIONS" in message


def test_deleting_twice_finds_nothing_the_second_time(door: Door) -> None:
    make_version("churn", aliases=["champion"])

    assert door.delete("model-versions/delete", name="churn", version="1") == {}
    assert door.refused("DELETE", "model-versions/delete", {"name": "churn", "version": "1"}) == (
        *NOT_FOUND[:2],
        NOT_FOUND[2].format(1),
    )
    assert "aliases" not in door.get("registered-models/get", name="churn")["registered_model"]


def test_tags_of_versions(door: Door) -> None:
    make_version("churn")

    assert door.post("model-versions/set-tag", name="churn", version="1", key="validation", value="passed") == {}
    tags = door.get("model-versions/get", name="churn", version="1")["model_version"]["tags"]
    assert tags == [{"key": "validation", "value": "passed"}]
    for _ in range(2):
        assert door.delete("model-versions/delete-tag", name="churn", version="1", key="validation") == {}
    assert door.refused("DELETE", "model-versions/delete-tag", {"name": "churn", "version": "2", "key": "a"})[0] == 404
    assert (
        door.refused("POST", "model-versions/set-tag", {"name": "churn", "version": "1", "key": "a", "value": 5})[0]
        == 400
    )


def test_a_search_carries_tags_but_no_aliases_and_get_both(door: Door) -> None:
    make_version("churn", aliases=["champion"], tags={"a": "1"})

    [found] = door.get("model-versions/search", filter="name='churn'", max_results=10000)["model_versions"]
    got = door.get("model-versions/get", name="churn", version="1")["model_version"]

    assert found["tags"] == [{"key": "a", "value": "1"}] and "aliases" not in found
    assert got == {**found, "aliases": ["champion"]}


def test_the_default_order_is_newest_update_first(door: Door) -> None:
    model = make_model("churn")
    for updated in (5, 9, 5):
        make_version(model, last_updated_timestamp=updated)

    found = door.get("model-versions/search")["model_versions"]

    assert [version["version"] for version in found] == ["2", "3", "1"]


def test_an_empty_search_is_an_empty_object(door: Door) -> None:
    assert door.get("model-versions/search", filter="name='nothing'") == {}


@pytest.mark.parametrize("query", [{"max_results": 0}, {"max_results": 200_001}, {"filter": "stage = 'Production'"},
{"filter": " "},
                                   {"order_by": ""}, {"order_by": ["name", "name"]},
                                   {"page_token": "%%%"}])  # fmt: skip
def test_bad_searches_are_400(door: Door, query: dict[str, Any]) -> None:
    assert door.refused("GET", "model-versions/search", query=query)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_a_token_that_is_not_base64_says_so(door: Door) -> None:
    message = door.refused("GET", "model-versions/search", query={"page_token": "%%%"})[2]

    assert "could not base64-decode" in message


@pytest.mark.parametrize("versions", [1, 30])
def test_a_search_takes_as_many_statements_for_thirty_as_for_one(
    door: Door, versions: int, django_assert_max_num_queries: Any
) -> None:
    model = make_model("churn")
    for _ in range(versions):
        make_version(model, tags={"a": "1"}, aliases=["champion"])
    door.get("model-versions/search")

    with django_assert_max_num_queries(2):  # one of them is the token
        assert len(door.get("model-versions/search")["model_versions"]) == versions


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "model-versions/create", {"name": "churn"}, "source"),
        ("POST", "model-versions/create", {"source": "s3://b/x"}, "name"),
        ("PATCH", "model-versions/update", {"name": "churn"}, "version"),
        ("POST", "model-versions/transition-stage", {"name": "churn", "version": "1"}, "stage"),
        ("DELETE", "model-versions/delete", {"name": "churn", "version": ""}, "version"),
        ("POST", "model-versions/set-tag", {"name": "churn", "version": "1"}, "key"),
        ("DELETE", "model-versions/delete-tag", {"name": "churn", "version": "1"}, "key"),
    ],
)
def test_a_missing_field_is_named(door: Door, method: str, path: str, body: dict[str, Any], field: str) -> None:
    make_version("churn")

    assert door.refused(method, path, body)[1:] == (
        "INVALID_PARAMETER_VALUE",
        f"Missing value for required parameter '{field}'. {HINT}",
    )
