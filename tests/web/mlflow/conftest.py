"""A client that speaks as the stock ones do: JSON bodies, a bearer token, no cookies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import Grant, Level, User
from tests.cast import token_of
from tests.factories import make_user

API = "/api/2.0/mlflow/"


class Door:
    """``door.post("runs/create", …)`` returns the JSON of a 200, and raises nothing: see ``refused`` for the others."""

    def __init__(self, user: User, *, read_only: bool = False) -> None:
        self.user = user
        _, secret = token_of(user, read_only=read_only)
        self.client = Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)

    def send(self, method: str, path: str, body: object = None, *, query: dict[str, Any] | None = None) -> HttpResponse:
        """``body``: bytes go as they are, anything else as JSON."""
        options: dict[str, Any] = {"query_params": query} if query else {}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            options |= {"data": data, "headers": {"content-type": "application/json"}}
        target = path if path.startswith("/") else API + path
        return self.client.generic(method, target, **options)  # type: ignore[return-value]

    def _ok(self, answer: HttpResponse) -> dict[str, Any]:
        assert answer.status_code == 200, answer.content
        body: dict[str, Any] = json.loads(answer.content)
        assert isinstance(body, dict)
        return body

    def get(self, path: str, /, **query: Any) -> dict[str, Any]:
        return self._ok(self.send("GET", path, query=query))

    def post(self, path: str, /, **body: Any) -> dict[str, Any]:
        return self._ok(self.send("POST", path, body))

    def patch(self, path: str, /, **body: Any) -> dict[str, Any]:
        return self._ok(self.send("PATCH", path, body))

    def delete(self, path: str, /, **body: Any) -> dict[str, Any]:
        return self._ok(self.send("DELETE", path, body))

    def refused(
        self, method: str, path: str, body: object = None, *, query: dict[str, Any] | None = None
    ) -> tuple[int, str, str]:
        """Status, error_code and message of an answer that must be a refusal in MLflow's shape."""
        answer = self.send(method, path, body, query=query)
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.content)
        assert answer["Content-Type"].startswith("application/json")
        error = json.loads(answer.content)
        return answer.status_code, error["error_code"], error["message"]


@pytest.fixture
def mira(db: None) -> User:
    """She manages every model."""
    user = make_user("mira")
    Grant.objects.create(level=Level.MANAGE, user=user, pattern="*")
    return user


@pytest.fixture
def door(mira: User) -> Door:
    return Door(mira)


@pytest.fixture
def reader(db: None) -> Door:
    return Door(make_user("sam"))
