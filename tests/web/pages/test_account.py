"""/account/: one's tokens, shown once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Token, User
from tests.cast import token_of

Session = Callable[[User], Client]


def test_a_new_token_is_shown_once_and_works(mira: User, session: Session) -> None:
    page = session(mira)

    made = page.post("/account/tokens/", {"name": "laptop", "days": "30"}).content.decode()

    secret = re.search(r"MLFLOW_TRACKING_TOKEN=(cs_[\w-]+)", made)[1]  # type: ignore[index]
    assert Client(headers={"authorization": f"Bearer {secret}"}).get("/reviews/").status_code == 200
    assert secret not in page.get("/account/").content.decode()


def test_a_read_only_token_says_so(mira: User, session: Session) -> None:
    session(mira).post("/account/tokens/", {"name": "dashboard", "days": "0", "read_only": "on"})

    token = Token.objects.get()
    assert (token.read_only, token.expires_at) == (True, None)


def test_a_token_without_a_name_is_refused(mira: User, session: Session) -> None:
    answer = session(mira).post("/account/tokens/", {"name": " ", "days": "30"})

    assert answer.status_code == 422
    assert not Token.objects.exists()


@pytest.mark.parametrize("days", ["", "-1", "99999999999", "x"])
def test_an_odd_lifetime_makes_no_endless_token(mira: User, session: Session, days: str) -> None:
    answer = session(mira).post("/account/tokens/", {"name": "odd", "days": days})

    assert answer.status_code == 422
    assert not Token.objects.exists()


def test_nobody_revokes_anothers_token(mira: User, sam: User, session: Session) -> None:
    token, _ = token_of(mira)

    assert session(sam).post(f"/account/tokens/{token.pk}/revoke/").status_code == 404
    assert "is revoked" in session(mira).post(f"/account/tokens/{token.pk}/revoke/", follow=True).content.decode()
    token.refresh_from_db()
    assert token.revoked_at
