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
