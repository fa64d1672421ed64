"""The people of the tests, known by what they do. They are rows without events: a test counts what happens in it.

mira asks, alice (team risk) and dkim (team ml-leads) review, sam only watches, eve is outside, ci_bot reports, admin
administers. Fixtures of those names are users; ``api(user)`` speaks for one with a token, ``session(user)`` signed in.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import services
from accounts.models import Grant, Level, Membership, Team, Token, User
from accounts.services import looks_like_token, note_use, token_look_up
from core.clock import now
from core.prepared import together
from tests.factories import make_user


def person(username: str, *, level: Level | None = None, team: Team | None = None, **fields: Any) -> User:
    """A person with an address, in a team, with a level on every model."""
    user = make_user(username, email=f"{username}@example.com", **fields)
    if team:
        Membership.objects.create(team=team, user=user)
    if level:
        Grant.objects.create(level=level, user=user, pattern="*")
    return user


@pytest.fixture
def risk(db: None) -> Team:
    return Team.objects.create(name="risk")


@pytest.fixture
def ml_leads(db: None) -> Team:
    return Team.objects.create(name="ml-leads")


@pytest.fixture
def mira(db: None) -> User:
    return person("mira", level=Level.EDIT)


@pytest.fixture
def alice(risk: Team) -> User:
    return person("alice", team=risk)


@pytest.fixture
def dkim(ml_leads: Team) -> User:
    return person("dkim", team=ml_leads)


@pytest.fixture
def sam(db: None) -> User:
    return person("sam", level=Level.READ)


@pytest.fixture
def eve(db: None) -> User:
    """Nobody granted her anything: with DEFAULT_MODEL_LEVEL=NONE she sees no model."""
    return person("eve")


@pytest.fixture
def admin(db: None) -> User:
    return person("admin", is_superuser=True)


@pytest.fixture
def ci_bot(mira: User) -> User:
    """A service account that belongs to mira."""
    return person("ci-bot", level=Level.EDIT, is_service=True, owner=mira)


# -- How they come in --------------------------------------------------------------------------------------------------


def token_of(user: User, *, read_only: bool = False, models: str = "*", name: str = "tests") -> tuple[Token, str]:
    secret = services.TOKEN_PREFIX + secrets.token_urlsafe(32)
    digest, ends = hashlib.sha256(secret.encode()).hexdigest(), now() + timedelta(days=1)
    token = Token.objects.create(
        user=user, name=name, prefix=secret[:8], digest=digest, read_only=read_only, pattern=models, expires_at=ends
    )
    return token, secret


class Api:
    """Somebody with a token at our own API. Paths are relative to /api/v1/; answers are not judged."""

    def __init__(self, user: User, *, read_only: bool = False, models: str = "*") -> None:
        self.user = user
        _, secret = token_of(user, read_only=read_only, models=models)
        self.client = Client(headers={"authorization": f"Bearer {secret}"})

    def _send(
        self, method: str, path: str, body: object, headers: dict[str, str] | None, /, **query: Any
    ) -> HttpResponse:
        target = path if path.startswith("/") else f"/api/v1/{path}"
        options: dict[str, Any] = {"query_params": query} if query else {}
        if body is not None:
            options |= {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.generic(method, target, headers=headers, **options)  # type: ignore[return-value]

    def get(self, path: str, /, **query: Any) -> HttpResponse:
        return self._send("GET", path, None, None, **query)

    def post(self, path: str, body: object = None, *, headers: dict[str, str] | None = None) -> HttpResponse:
        return self._send("POST", path, {} if body is None else body, headers)

    def patch(self, path: str, body: object, *, headers: dict[str, str] | None = None) -> HttpResponse:
        return self._send("PATCH", path, body, headers)

    def put(self, path: str, body: object, *, headers: dict[str, str] | None = None) -> HttpResponse:
        return self._send("PUT", path, body, headers)

    def delete(self, path: str) -> HttpResponse:
        return self._send("DELETE", path, None, None)


@pytest.fixture
def api(db: None) -> Callable[..., Api]:
    return Api


@pytest.fixture
def session(db: None) -> Callable[[User], Client]:
    """Somebody signed in with a session; forms need no CSRF token here."""

    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return signed_in


def named_by(secret: str) -> Token | None:
    """The token that a secret is, as a door finds it."""
    [rows] = together(token_look_up(secret)) if looks_like_token(secret) else [[]]
    for token in rows:
        note_use(token)
    return next(iter(rows), None)
