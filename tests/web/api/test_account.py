"""Oneself and one's tokens through our own API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Token, User
from tests.cast import Api, token_of


def test_me_is_who_the_token_belongs_to(api: Callable[..., Api], alice: User) -> None:
    me = api(alice).get("me/").json()

    assert (me["username"], me["teams"], me["is_admin"]) == ("alice", ["risk"], False)
    assert (me["token"]["name"], me["token"]["user"]) == ("tests", "alice")


def test_a_session_reads_and_has_no_token(session: Callable[[User], Client], mira: User) -> None:
    assert session(mira).get("/api/v1/me/").json()["token"] is None


def test_a_token_is_shown_once_works_and_is_revoked(api: Callable[..., Api], mira: User) -> None:
    made = api(mira).post("tokens/", {"name": "ci", "expires_in_days": 7, "read_only": True}).json()
    bearer = {"authorization": f"Bearer {made['secret']}"}

    assert Client(headers=bearer).get("/api/v1/me/").json()["token"]["read_only"] is True
    assert made["secret"] not in api(mira).get("tokens/").content.decode()
    assert api(mira).delete(f"tokens/{made['id']}/").status_code == 204
    assert Client(headers=bearer).get("/api/v1/me/").status_code == 401


def test_the_tokens_of_others_are_not_ours(api: Callable[..., Api], mira: User, sam: User, admin: User) -> None:
    token, _ = token_of(mira)

    assert api(sam).delete(f"tokens/{token.pk}/").status_code == 404
    assert api(sam).post("tokens/", {"name": "x", "user": "mira"}).status_code == 403
    assert token.pk not in [item["id"] for item in api(sam).get("tokens/").json()["items"]]
    assert api(admin).delete(f"tokens/{token.pk}/").status_code == 204


def test_a_service_account_gets_its_token_from_its_owner(api: Callable[..., Api], mira: User, ci_bot: User) -> None:
    made = api(mira).post("tokens/", {"name": "ci", "user": "ci-bot"}).json()

    me = Client(headers={"authorization": f"Bearer {made['secret']}"}).get("/api/v1/me/").json()
    assert (me["username"], me["is_service"]) == ("ci-bot", True)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": " "},
        {"name": "x" * 101},
        {"name": "a\tb"},
        {"name": "ci", "expires_in_days": 0},
        {"name": "ci", "expires_in_days": 3651},
        {"name": "ci", "read_only": "perhaps"},
    ],
)
def test_a_wish_that_cannot_be_read_makes_no_token(api: Callable[..., Api], mira: User, wish: dict[str, Any]) -> None:
    client = api(mira)

    assert client.post("tokens/", wish).status_code == 400
    assert Token.objects.count() == 1


def test_a_token_without_end_is_asked_for_by_name(api: Callable[..., Api], mira: User) -> None:
    assert api(mira).post("tokens/", {"name": "ci"}).json()["expires_at"]
    assert api(mira).post("tokens/", {"name": "ci", "expires_in_days": None}).json()["expires_at"] is None
