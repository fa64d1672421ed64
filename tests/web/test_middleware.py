"""What every answer carries, and the one line that every request leaves in the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from structlog.contextvars import get_contextvars

from accounts.models import User
from tests.cast import token_of
from web import health, middleware


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines that the middleware writes, each with what is bound to its request."""
    written: list[dict[str, Any]] = []

    def info(event: str, **fields: Any) -> None:
        written.append({"event": event, **get_contextvars(), **fields})

    monkeypatch.setattr(middleware, "log", SimpleNamespace(info=info))
    return written


@pytest.mark.parametrize("path", ["/sign-in/", "/reviews/", "/nothing/", "/api/v1/me/", "/api/2.0/mlflow/nothing"])
def test_no_answer_may_do_more_than_its_page_needs(path: str, mira: User) -> None:
    for client in (Client(), Client(headers={"authorization": f"Bearer {token_of(mira)[1]}"})):
        answer = client.get(path)
        assert answer["Content-Security-Policy"] == settings.CONTENT_SECURITY_POLICY
        assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")


def test_a_request_is_one_line_that_says_who_and_how_long(lines: list[dict[str, Any]], mira: User) -> None:
    by_token = Client(headers={"authorization": f"Bearer {token_of(mira)[1]}"})
    by_session = Client()
    by_session.force_login(mira)

    for client in (by_token, by_session):
        client.get("/api/v1/me/?a=1")
    Client().get("/api/v1/me/")

    assert [(line["event"], line["request"], line["code"], line.get("user_id")) for line in lines] == [
        ("request_finished", "GET /api/v1/me/?a=1", 200, mira.pk),
        ("request_finished", "GET /api/v1/me/?a=1", 200, mira.pk),
        ("request_finished", "GET /api/v1/me/", 401, None),
    ]
    assert all(line["ms"] >= 0 and line["ip"] == "127.0.0.1" for line in lines)
    assert len({line["request_id"] for line in lines}) == 3


@pytest.mark.django_db
def test_a_passed_health_check_says_nothing_and_a_failed_one_does(
    lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert Client().get(path).status_code == 200
    assert lines == []

    monkeypatch.setattr(health, "MigrationExecutor", Mock(side_effect=DatabaseError))
    assert Client().get("/health/ready").status_code == 503

    assert [line["code"] for line in lines] == [503]
