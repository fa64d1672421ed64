"""Models through our own API: reading, searching, describing, tagging, aliases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from registry import services as registry
from registry.models import RegisteredModel, Stage
from tests.cast import Api
from tests.factories import make_model, make_version


def test_who_creates_a_model_manages_it(api: Callable[..., Api], sam: User) -> None:
    answer = api(sam).post("models/", {"name": "churn", "description": "Who leaves?", "tags": {"tier": "critical"}})

    shown = answer.json()
    assert answer.status_code == 201
    assert (shown["name"], shown["owner"], shown["level"]) == ("churn", "sam", "MANAGE")
    assert shown["tags"] == {"tier": "critical"}


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": ""},
        {"name": "a/b"},
        {"name": "x" * 257},
        {"name": "a\x00b"},
        {"name": "a", "tags": ["t"]},
        {"name": {}},
    ],
)
def test_a_model_that_cannot_be_is_not_made(api: Callable[..., Api], sam: User, wish: dict[str, Any]) -> None:
    answer = api(sam).post("models/", wish)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert not RegisteredModel.objects.exists()


def test_a_name_is_taken_once(api: Callable[..., Api], mira: User) -> None:
    make_model("churn")

    assert api(mira).post("models/", {"name": "churn"}).status_code == 409


def test_a_model_shows_who_holds_what(api: Callable[..., Api], mira: User, sam: User) -> None:
    model = make_model("churn", user=mira)
    make_version(model, stage="Staging", user=mira)
    make_version(model, stage="Production", aliases=["champion"], user=mira)

    shown = api(sam).get("models/churn/").json()

    assert shown["level"] == "READ"
    assert shown["aliases"] == {"champion": 2}
    assert {(h["target"], h["version"], h["set_by"]) for h in shown["holders"]} == {
        ("Production", 2, "mira"),
        ("Staging", 1, "mira"),
        ("@champion", 2, "mira"),
    }


def test_models_are_searched_in_pages(api: Callable[..., Api], mira: User) -> None:
    for name in ("churn-a", "churn-b", "fraud"):
        make_model(name)

    first = api(mira).get("models/", filter="name LIKE 'churn%'", order_by="name", limit="1").json()
    second = (
        api(mira)
        .get("models/", filter="name LIKE 'churn%'", order_by="name", limit="1", cursor=first["next_cursor"])
        .json()
    )

    assert [m["name"] for m in first["items"] + second["items"]] == ["churn-a", "churn-b"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "name ="},
        {"filter": "user.password = 'x'"},
        {"order_by": "user__password"},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "x"},
        {"unknown": "1"},
    ],
)
def test_a_search_that_cannot_be_read_is_refused(api: Callable[..., Api], mira: User, query: dict[str, str]) -> None:
    assert api(mira).get("models/", **query).status_code == 400


def test_a_longer_list_takes_no_more_statements(
    api: Callable[..., Api], mira: User, django_assert_num_queries: Any
) -> None:
    client = api(mira)
    make_model(user=mira)
    client.get("models/")
    with CaptureQueriesContext(connection) as one:
        client.get("models/")

    for _ in range(5):
        make_model(user=mira)

    with django_assert_num_queries(len(one)):
        assert len(client.get("models/").json()["items"]) == 6


def test_a_description_is_written_by_who_may_edit(api: Callable[..., Api], mira: User, sam: User) -> None:
    make_model("churn")

    written = api(mira).patch("models/churn/", {"description": "Who leaves?\n"})
    refused = api(sam).patch("models/churn/", {"description": "No."})

    assert (written.status_code, written.json()["description"]) == (200, "Who leaves?\n")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_permitted")
    assert "EDIT" in refused.json()["error"]["message"]


def test_tags_and_aliases_come_and_go(api: Callable[..., Api], admin: User) -> None:
    make_version("churn")
    client = api(admin)

    assert client.put("models/churn/tags/", {"key": "a/b", "value": ""}).json()["tags"] == {"a/b": ""}
    assert client.put("models/churn/aliases/", {"alias": "champion", "version": 1}).json()["aliases"] == {"champion": 1}
    assert client.delete("models/churn/tags/?key=a/b").status_code == 204
    assert client.delete("models/churn/aliases/?alias=champion").status_code == 204
    shown = client.get("models/churn/").json()
    assert (shown["tags"], shown["aliases"]) == ({}, {})


def test_an_alias_needs_a_version_that_is_there(api: Callable[..., Api], admin: User) -> None:
    make_model("churn")

    assert api(admin).put("models/churn/aliases/", {"alias": "champion", "version": 1}).status_code == 404
    assert api(admin).put("models/churn/aliases/", {"alias": "champion"}).status_code == 400
    assert api(admin).delete("models/churn/aliases/").status_code == 400


def test_what_one_may_not_see_is_not_there(api: Callable[..., Api], eve: User, settings: Any) -> None:
    make_model("churn")
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert api(eve).get("models/").json()["items"] == []
    assert api(eve).get("models/churn/").status_code == 404


def test_a_stage_returns_to_who_held_it_before(admin: User, sam: User, api: Callable[..., Api]) -> None:
    first = make_version("pricing", user=admin)
    second = make_version(first.model, user=admin)
    for version in (first, second):
        registry.move_to_stage(actor=admin, version=version, stage=Stage.PRODUCTION, archive_existing=True)

    [holder] = api(sam).get("models/pricing/").json()["holders"]
    assert (holder["version"], holder["before"]) == (2, 1)

    answer = api(sam).post(
        "models/pricing/rollback/", {"target": "Production", "version": 1, "comment": "It is worse."}
    )

    assert answer.status_code == 201
    assert (answer.json()["version"], answer.json()["state"], answer.json()["returns_to"]) == (1, "open", None)
    assert api(sam).post("models/pricing/rollback/", {"target": "@champion", "version": 1}).status_code == 409
    assert api(sam).post("models/pricing/rollback/", {"target": "Somewhere", "version": 1}).status_code == 400
    assert api(sam).post("models/pricing/rollback/", {"target": "Production"}).status_code == 400
