"""Who held what of a model, through our own API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from accounts.models import User
from core.clock import now
from registry.models import ModelVersion, StageHolding
from tests.cast import Api
from tests.factories import make_model, make_version
from tests.scenes import ask, churn_predictor, say

MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def held(mira: User) -> list[ModelVersion]:
    """Version 1 held Production for two days of May and is deleted; version 2 has it since the fifth."""
    model = make_model("churn", user=mira)
    versions = [make_version(model, deleted_at=now()), make_version(model)]
    for version, since, until in ((0, MAY, MAY + timedelta(days=2)), (1, MAY + timedelta(days=4), None)):
        StageHolding.objects.create(
            model=model, version=versions[version], target_kind="stage", target="Production",
            since=since, until=until, set_by=mira,
        )  # fmt: skip
    return versions


def test_a_moment_is_answered_with_its_holder(api: Callable[..., Api], held: list[ModelVersion], sam: User) -> None:
    answer = api(sam).get("models/churn/holders/", target="Production", at="2026-05-03T11:00Z").json()

    assert answer == {
        "at": "2026-05-03T11:00:00Z",
        "holders": [
            {
                "target": "Production",
                "version": 1,
                "is_deleted": True,
                "since": "2026-05-01T12:00:00Z",
                "until": "2026-05-03T12:00:00Z",
                "set_by": "mira",
                "request": None,
                "approved_by": [],
                "digest": held[0].digest,
                "is_bypassed": False,
                "returns_to": None,
            }
        ],
        "next": None,
    }


def test_where_nothing_held_it_what_came_next_is_told(
    api: Callable[..., Api], held: list[ModelVersion], sam: User
) -> None:
    answer = api(sam).get("models/churn/holders/", target="Production", at="2026-05-03T12:00").json()

    assert (answer["holders"], answer["next"]["version"]) == ([], 2)


def test_without_a_moment_it_is_now_and_without_a_target_it_is_everything(
    api: Callable[..., Api], held: list[ModelVersion], sam: User
) -> None:
    make_version(held[1].model, stage="Staging", aliases=["champion"])

    answer = api(sam).get("models/churn/holders/").json()

    assert [(row["target"], row["version"]) for row in answer["holders"]] == [
        ("Production", 2), ("Staging", 3), ("@champion", 3),
    ]  # fmt: skip


def test_what_got_there_by_a_request_says_whose_approvals_counted(
    api: Callable[..., Api], mira: User, alice: User, dkim: User, sam: User
) -> None:
    asked = ask(churn_predictor(mira), mira)
    say(alice, asked)
    say(dkim, asked)

    (row,) = api(sam).get("models/churn-predictor/holders/", target="Production").json()["holders"]

    assert (row["request"], row["approved_by"], row["digest"]) == (asked.pk, ["alice", "dkim"], asked.digest)


def test_a_history_is_read_page_by_page(api: Callable[..., Api], held: list[ModelVersion], sam: User) -> None:
    first = api(sam).get("models/churn/history/", limit=1).json()
    second = api(sam).get("models/churn/history/", limit=1, cursor=first["next_cursor"]).json()

    assert [row["version"] for row in first["items"] + second["items"]] == [2, 1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("holders", {"at": "yesterday"}),
        ("holders", {"at": "2999-01-01T00:00Z"}),
        ("holders", {"target": "Archived"}),
        ("holders", {"when": "now"}),
        ("history", {"target": "Nowhere"}),
        ("history", {"cursor": "W10="}),
    ],
)
def test_what_cannot_be_answered_is_refused(
    path: str, query: dict[str, str], api: Callable[..., Api], held: list[ModelVersion], sam: User
) -> None:
    answer = api(sam).get(f"models/churn/{path}/", **query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("path", ["holders", "history"])
def test_a_model_one_may_not_see_has_no_history(
    path: str, api: Callable[..., Api], held: list[ModelVersion], eve: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert api(eve).get(f"models/churn/{path}/").status_code == 404
