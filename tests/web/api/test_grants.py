"""/api/v1/models/NAME/grants/"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from accounts.models import Grant, Level, Team, User
from registry.services import create_model
from tests.cast import Api


@pytest.fixture(autouse=True)
def _churn(eve: User, sam: User, settings: Settings) -> None:
    """Eve created it."""
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    create_model(actor=eve, name="churn")


def direct() -> dict[str, str]:
    return {str(row.holder): Level(row.level).name for row in Grant.objects.filter(pattern="")}


def test_who_manages_the_model_gives_and_takes(api: Callable[..., Api], eve: User, sam: User, risk: Team) -> None:
    at = api(eve)

    assert at.put("models/churn/grants/users/sam/", {"level": "EDIT"}).status_code == 200
    listed = at.put("models/churn/grants/teams/risk/", {"level": "READ"}).json()["items"]
    assert direct() == {"eve": "MANAGE", "sam": "EDIT", "risk": "READ"}
    assert [(row["user"], row["team"], row["level"], row["pattern"]) for row in listed] == [
        (None, "risk", "READ", ""),
        ("sam", None, "EDIT", ""),
        ("eve", None, "MANAGE", ""),
        ("sam", None, "READ", "*"),
    ]

    assert at.delete("models/churn/grants/users/sam/").status_code == 204
    assert direct() == {"eve": "MANAGE", "risk": "READ"}


def test_put_replaces_every_grant_on_the_model(api: Callable[..., Api], eve: User, sam: User, risk: Team) -> None:
    body = {"grants": [{"user": "eve", "level": "MANAGE"}, {"team": "risk", "level": "EDIT"}]}
    api(eve).put("models/churn/grants/users/sam/", {"level": "EDIT"})

    assert api(eve).put("models/churn/grants/", body).status_code == 200
    assert direct() == {"eve": "MANAGE", "risk": "EDIT"}


def test_readers_look_and_do_not_change(api: Callable[..., Api], sam: User, alice: User) -> None:
    assert [row["user"] for row in api(sam).get("models/churn/grants/").json()["items"]] == ["eve", "sam"]
    assert api(sam).put("models/churn/grants/users/sam/", {"level": "MANAGE"}).status_code == 403
    assert api(sam).put("models/churn/grants/", {"grants": []}).status_code == 403
    assert api(sam).delete("models/churn/grants/users/eve/").status_code == 403
    assert api(alice).get("models/churn/grants/").status_code == 404
    assert direct() == {"eve": "MANAGE"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("users/sam/", {"level": "NONE"}, 400),
        ("users/sam/", {}, 400),
        ("users/nobody/", {"level": "READ"}, 404),
        ("teams/nobody/", {"level": "READ"}, 404),
        ("", {}, 400),
        ("", {"grants": [{"level": "READ"}]}, 400),
        ("", {"grants": [{"user": "sam", "team": "risk", "level": "READ"}]}, 400),
        ("", {"grants": [{"user": "sam", "level": "READ"}, {"user": "sam", "level": "EDIT"}]}, 400),
        ("", {"grants": [{"user": "nobody", "level": "READ"}]}, 404),
        ("", {"grants": [{"user": "sam", "level": "FLY"}]}, 400),
    ],
)
def test_bad_input_changes_nothing(
    path: str, body: object, status: int, api: Callable[..., Api], eve: User, sam: User
) -> None:
    answer = api(eve).put(f"models/churn/grants/{path}", body)

    assert answer.status_code == status, answer.content
    assert direct() == {"eve": "MANAGE"}


def test_a_long_list_comes_in_pages(api: Callable[..., Api], eve: User) -> None:
    at = api(eve)
    first = at.get("models/churn/grants/", limit=1).json()
    assert [row["user"] for row in first["items"]] == ["eve"]

    second = at.get("models/churn/grants/", limit=1, cursor=first["next_cursor"]).json()
    assert [row["user"] for row in second["items"]] == ["sam"] and second["next_cursor"] is None
