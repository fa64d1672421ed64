"""Comments on versions, as Databricks' clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from approvals.models import Comment
from registry.models import ModelVersion
from tests.factories import make_version
from tests.web.mlflow.conftest import Door

CHURN = {"name": "churn", "version": "1"}


@pytest.fixture(autouse=True)
def version(mira: User) -> ModelVersion:
    return make_version("churn", user=mira)


def test_who_may_read_comments_on_the_version(reader: Door, version: ModelVersion) -> None:
    made = reader.post("comments/create", **CHURN, comment="AUC fell by **2** points.")["comment"]

    row = Comment.objects.get()
    assert (row.version, row.request) == (version, None)
    moment = made.pop("creation_timestamp")
    assert type(moment) is int and moment == made.pop("last_updated_timestamp")
    assert made == {
        "id": str(row.pk), "user_id": "sam", "comment": "AUC fell by **2** points.",
        "available_actions": ["EDIT_COMMENT", "DELETE_COMMENT"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"comment": ""}, (400, "INVALID_PARAMETER_VALUE")),
        ({"comment": " \n"}, (400, "INVALID_PARAMETER_VALUE")),
        ({"comment": "x" * 65_536}, (400, "INVALID_PARAMETER_VALUE")),
        ({"version": "9"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ({"version": None}, (400, "INVALID_PARAMETER_VALUE")),
    ],
)
def test_a_bad_comment_is_refused(door: Door, changes: dict[str, Any], code: object) -> None:
    assert door.refused("POST", "comments/create", {**CHURN, "comment": "Look.", **changes})[:2] == code
    assert not Comment.objects.exists()


def test_its_author_changes_a_comment(reader: Door, door: Door) -> None:
    made = reader.post("comments/create", **CHURN, comment="AUC fell.")["comment"]
    moments = ("creation_timestamp", "last_updated_timestamp")

    changed = reader.patch("comments/update", id=made["id"], comment="AUC rose.")["comment"]

    assert (changed["id"], changed["user_id"], changed["comment"]) == (made["id"], "sam", "AUC rose.")
    assert changed["creation_timestamp"] == made["creation_timestamp"] <= changed["last_updated_timestamp"]
    assert all(type(changed[moment]) is int for moment in moments)
    assert door.refused("PATCH", "comments/update", {"id": made["id"], "comment": "No."})[:2] == (
        403,
        "PERMISSION_DENIED",
    )
    assert reader.refused("PATCH", "comments/update", {"id": made["id"], "comment": ""})[0] == 400
    assert Comment.objects.get().text == "AUC rose."


@pytest.mark.parametrize("as_query", [True, False])
def test_its_author_deletes_a_comment_once(reader: Door, door: Door, as_query: bool) -> None:
    made = {"id": reader.post("comments/create", **CHURN, comment="AUC fell.")["comment"]["id"]}

    assert door.refused("DELETE", "comments/delete", made)[:2] == (403, "PERMISSION_DENIED")
    gone = reader.send("DELETE", "comments/delete", **({"query": made} if as_query else {"body": made}))
    assert (gone.status_code, gone.content) == (200, b"{}")
    for method, path in (("DELETE", "comments/delete"), ("PATCH", "comments/update")):
        refused = reader.refused(method, path, {**made, "comment": "Again."})
        assert refused[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("unknown", ["4711", "0", "-1", "abc", "²", "9" * 40])
def test_a_comment_that_never_was_is_404(door: Door, unknown: str) -> None:
    assert door.refused("DELETE", "comments/delete", {"id": unknown})[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_who_may_not_read_the_model_hears_nothing_of_its_comments(door: Door, reader: Door, settings: Any) -> None:
    made = reader.post("comments/create", **CHURN, comment="AUC fell.")["comment"]
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    for method, path in (("DELETE", "comments/delete"), ("PATCH", "comments/update")):
        refused = reader.refused(method, path, {"id": made["id"], "comment": "Again."})
        assert refused[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
