"""/api/2.0/mlflow/registered-models/…: what stock clients send, and what they must get back."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from core.clock import now_ms
from registry.models import RegisteredModel
from tests.factories import make_model, make_version
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

HINT = "See the API docs for more information about request parameters."


def test_creating_answers_with_the_model(door: Door) -> None:
    tags = [{"key": "tier", "value": "low"}, {"key": "tier", "value": "critical"}, {"key": "empty", "value": ""}]

    model = door.post("registered-models/create", name="churn", description="Who leaves", tags=tags)["registered_model"]

    assert model.pop("creation_timestamp") == model.pop("last_updated_timestamp") <= now_ms()
    assert model == {
        "name": "churn",
        "description": "Who leaves",
        "tags": [{"key": "tier", "value": "critical"}, {"key": "empty", "value": ""}],
    }


def test_unset_fields_are_left_out(door: Door) -> None:
    model = door.post("registered-models/create", name="churn")["registered_model"]

    assert set(model) == {"name", "creation_timestamp", "last_updated_timestamp"}


def test_a_taken_name_is_400_with_the_code_that_clients_wait_for(door: Door) -> None:
    make_model("churn")

    assert door.refused("POST", "registered-models/create", {"name": "churn"}) == (
        400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=churn) already exists."
    )  # fmt: skip


def test_getting_shows_latest_versions_without_and_aliases_beside(door: Door) -> None:
    model = make_model("churn", tags={"a": "b"})
    make_version(model, stage="Production", aliases=["champion"], tags={"x": "y"})
    make_version(model)
    make_version(model)

    answer = door.get("registered-models/get", name="churn")["registered_model"]

    latest = [(version["version"], version["current_stage"]) for version in answer["latest_versions"]]
    assert latest == [("3", "None"), ("1", "Production")]
    assert all("aliases" not in version for version in answer["latest_versions"])
    assert answer["latest_versions"][1]["tags"] == [{"key": "x", "value": "y"}]
    assert answer["aliases"] == [{"alias": "champion", "version": "1"}]
    assert answer["tags"] == [{"key": "a", "value": "b"}]


@pytest.mark.parametrize("versions", [1, 40])
def test_getting_takes_as_many_statements_for_forty_versions_as_for_one(
    door: Door, versions: int, django_assert_max_num_queries: Any
) -> None:
    model = make_model("churn")
    for _ in range(versions):
        make_version(model)
    door.get("registered-models/get", name="churn")  # notes the token's last use

    with django_assert_max_num_queries(3):  # one of them is the token
        door.get("registered-models/get", name="churn")


def test_an_absent_model_is_not_found(door: Door) -> None:
    assert door.refused("GET", "registered-models/get", query={"name": "churn"}) == (
        404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=churn not found"
    )  # fmt: skip


def test_an_update_without_a_description_clears_it(door: Door) -> None:
    make_model("churn", description="old")

    assert "description" not in door.patch("registered-models/update", name="churn")["registered_model"]
    assert RegisteredModel.objects.get().description == ""


def test_renaming_answers_under_the_new_name(door: Door) -> None:
    make_version("churn")

    model = door.post("registered-models/rename", name="churn", new_name="attrition")["registered_model"]

    assert model["name"] == model["latest_versions"][0]["name"] == "attrition"
    assert door.refused("GET", "registered-models/get", query={"name": "churn"})[0] == 404


def test_deleting_takes_a_body_or_a_query(door: Door) -> None:
    make_model("churn")
    make_model("fraud")

    assert door.delete("registered-models/delete", name="churn") == {}
    assert door.send("DELETE", "registered-models/delete", query={"name": "fraud"}).status_code == 200
    assert not RegisteredModel.objects.live().exists()


def test_tags_are_set_and_taken_away_as_often_as_one_likes(door: Door) -> None:
    make_model("churn")

    assert door.post("registered-models/set-tag", name="churn", key="a", value=None) == {}
    assert RegisteredModel.objects.get().tags == {"a": ""}
    for _ in range(2):
        assert door.delete("registered-models/delete-tag", name="churn", key="a") == {}


def test_an_alias_is_set_read_and_deleted(door: Door) -> None:
    make_version("churn")

    assert door.post("registered-models/alias", name="churn", alias="champion", version="1") == {}
    version = door.get("registered-models/alias", name="churn", alias="champion")["model_version"]
    assert (version["version"], version["aliases"]) == ("1", ["champion"])
    for _ in range(2):
        assert door.delete("registered-models/alias", name="churn", alias="champion") == {}
    assert door.refused("GET", "registered-models/alias", query={"name": "churn", "alias": "champion"}) == (
        400, "INVALID_PARAMETER_VALUE", "Registered model alias champion not found."
    )  # fmt: skip


def test_latest_versions_of_some_stages_or_of_all(door: Door) -> None:
    model = make_model("churn")
    make_version(model, stage="Production")
    make_version(model, stage="Production", aliases=["champion"])
    make_version(model)

    def ask(**fields: Any) -> list[tuple[str, str]]:
        found = door.post("registered-models/get-latest-versions", name="churn", **fields).get("model_versions", [])
        return [(version["version"], version["current_stage"]) for version in found]

    assert ask() == ask(stages=[]) == ask(stages=None) == [("3", "None"), ("2", "Production")]
    assert ask(stages=["production"]) == [("2", "Production")]
    assert ask(stages=["Staging"]) == []
    by_query = door.get("registered-models/get-latest-versions", name="churn", stages=["None", "Production"])
    assert len(by_query["model_versions"]) == 2
    assert by_query["model_versions"][1]["aliases"] == ["champion"]
    assert door.refused("POST", "registered-models/get-latest-versions", {"name": "churn", "stages": ["Live"]})[1:] == (
        "INVALID_PARAMETER_VALUE",
        "Invalid Model Version stage: Live. Value must be one of None, Staging, Production, Archived.",
    )


def test_searching_pages_until_there_is_no_token(door: Door) -> None:
    for name in "cab":
        make_version(name)

    first = door.get("registered-models/search", max_results=2)
    second = door.get("registered-models/search", max_results=2, page_token=first["next_page_token"])

    assert [model["name"] for page in (first, second) for model in page["registered_models"]] == ["a", "b", "c"]
    assert "next_page_token" not in second
    assert second["registered_models"][0]["latest_versions"][0]["version"] == "1"


def test_an_empty_search_is_an_empty_object(door: Door) -> None:
    assert door.get("registered-models/search", filter="name = 'nothing'") == {}


def test_the_filter_of_the_stock_client_finds_ordinary_models(door: Door) -> None:
    make_model("churn")

    found = door.get(
        "registered-models/search",
        filter="name LIKE '%churn%' AND tag.`mlflow.prompt.is_prompt` != 'true'",
        max_results=100,
    )

    assert [model["name"] for model in found["registered_models"]] == ["churn"]


def test_repeated_order_by_in_a_query(door: Door) -> None:
    for name, updated in (("a", 2), ("b", 1), ("c", 2)):
        make_model(name, last_updated_timestamp=updated)

    found = door.get("registered-models/search", order_by=["last_updated_timestamp DESC", "name DESC"])

    assert [model["name"] for model in found["registered_models"]] == ["c", "a", "b"]


@pytest.mark.parametrize("limit", [0, -1, 1001, "x", 10**30])
def test_a_page_has_one_to_a_thousand_models(door: Door, limit: object) -> None:
    assert door.refused("GET", "registered-models/search", query={"max_results": limit})[:2] == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


def test_searching_takes_as_many_statements_for_many_as_for_one(door: Door, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        make_version(f"model-{number}")
    door.get("registered-models/search")

    with django_assert_max_num_queries(3):
        assert len(door.get("registered-models/search")["registered_models"]) == 20


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "registered-models/create", {}, "name"),
        ("POST", "registered-models/create", {"name": ""}, "name"),
        ("POST", "registered-models/create", {"name": None}, "name"),
        ("POST", "registered-models/create", {"name": "churn", "tags": [{"value": "x"}]}, "tags[0].key"),
        ("PATCH", "registered-models/update", {}, "name"),
        ("POST", "registered-models/rename", {"name": "churn"}, "new_name"),
        ("DELETE", "registered-models/delete", {}, "name"),
        ("POST", "registered-models/set-tag", {"name": "churn"}, "key"),
        ("DELETE", "registered-models/delete-tag", {"name": "churn"}, "key"),
        ("POST", "registered-models/alias", {"name": "churn", "version": "1"}, "alias"),
        ("POST", "registered-models/alias", {"name": "churn", "alias": "a"}, "version"),
        ("DELETE", "registered-models/alias", {"name": "churn"}, "alias"),
        ("POST", "registered-models/get-latest-versions", {}, "name"),
    ],
)
def test_a_missing_field_is_named(door: Door, method: str, path: str, body: dict[str, Any], field: str) -> None:
    make_version("churn")

    assert door.refused(method, path, body) == (
        400, "INVALID_PARAMETER_VALUE", f"Missing value for required parameter '{field}'. {HINT}"
    )  # fmt: skip


def test_a_wrong_type_is_named_with_its_value(door: Door) -> None:
    assert door.refused("POST", "registered-models/create", {"name": 5})[2] == (
        f"Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. {HINT}"
    )


def test_a_reader_reads_and_writes_nothing(reader: Door) -> None:
    make_version("churn", aliases=["champion"], tags={"a": "b"})

    assert reader.get("registered-models/get", name="churn")["registered_model"]["name"] == "churn"
    for method, path, body in (
        ("PATCH", "registered-models/update", {"description": "x"}),
        ("POST", "registered-models/rename", {"new_name": "mine"}),
        ("DELETE", "registered-models/delete", {}),
        ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"key": "a"}),
        ("POST", "registered-models/alias", {"alias": "champion", "version": "1"}),
        ("DELETE", "registered-models/alias", {"alias": "champion"}),
    ):
        assert reader.refused(method, path, {"name": "churn", **body})[:2] == (403, "PERMISSION_DENIED")


def test_what_one_may_not_see_is_not_there(reader: Door, settings: Settings) -> None:
    make_version("secret", aliases=["champion"])
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    for method, path, body in (
        ("PATCH", "registered-models/update", {"description": "x"}),
        ("POST", "registered-models/rename", {"new_name": "mine"}),
        ("DELETE", "registered-models/delete", {}),
        ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
        ("POST", "registered-models/get-latest-versions", {}),
        ("POST", "model-versions/create", {"source": "s3://bucket/x"}),
        ("POST", "model-versions/transition-stage", {"version": "1", "stage": "Staging"}),
    ):
        secret = reader.refused(method, path, {"name": "secret", **body})
        nothing = reader.refused(method, path, {"name": "nothing", **body})
        assert secret[0] == 404
        assert secret[2].replace("secret", "nothing") == nothing[2]


def test_a_read_only_token_reads_by_post_and_writes_nothing(door: Door) -> None:
    make_version("churn")
    read_only = Door(door.user, read_only=True)

    assert read_only.post("registered-models/get-latest-versions", name="churn")["model_versions"]
    assert read_only.refused("POST", "registered-models/set-tag", {"name": "churn", "key": "a", "value": "b"})[:2] == (
        403, "PERMISSION_DENIED"
    )  # fmt: skip
