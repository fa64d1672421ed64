"""How many messages to PostgreSQL a call of the hot door takes: what its speed rests on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import Client

from accounts.models import User
from core.postgres.messages import Planned
from registry import services
from registry.models import Stage
from tests.cast import token_of
from tests.factories import make_model, make_version

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
API = "/api/2.0/mlflow"


@pytest.fixture
def messages(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each message that is sent: the beginnings of its statements."""
    if connection.vendor != "postgresql":
        pytest.skip("needs DATABASE_URL")
    sent: list[str] = []
    send, execute = Planned.send, CursorWrapper.execute

    def planned(self: Planned, message: Any) -> Any:
        sent.append("; ".join(statement[0].strip()[:40] for statement, _ in message))
        return send(self, message)

    def by_cursor(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        sent.append(str(sql)[:80])
        return execute(self, sql, params)

    monkeypatch.setattr(Planned, "send", planned)
    monkeypatch.setattr(CursorWrapper, "execute", by_cursor)
    return sent


@pytest.fixture
def call(admin: User) -> Callable[..., None]:
    token = token_of(admin)[1]

    def call(method: str, path: str, **fields: Any) -> None:
        client = Client(headers={"authorization": f"Bearer {token}"})
        if method == "GET":
            answer = client.get(f"{API}/{path}", fields)
        else:
            answer = client.generic(method, f"{API}/{path}", json.dumps(fields), content_type="application/json")
        assert answer.status_code == 200, answer.content

    return call


LOOK_UPS = [
    ("model-versions/get", {"name": "churn", "version": "1"}),
    ("registered-models/get", {"name": "churn"}),
    ("registered-models/get-latest-versions", {"name": "churn"}),
    ("registered-models/alias", {"name": "churn", "alias": "champion"}),
]
TAGS = [{"key": "k", "value": "v"}]
VERSION = {"name": "churn", "version": "2"}
WRITES = [
    (3, "model-versions/set-tag", VERSION | {"key": "k", "value": "v"}),
    (3, "registered-models/alias", VERSION | {"alias": "champion"}),
    (3, "model-versions/transition-stage", VERSION | {"stage": "Production", "archive_existing_versions": True}),
    (
        4,
        "model-versions/create",
        {"name": "churn", "source": "s3://models/churn", "tags": TAGS},
    ),
]


@pytest.fixture(autouse=True)
def _churn(admin: User) -> None:
    model = make_model("churn", user=admin)
    first = make_version(model, user=admin)
    make_version(model, user=admin)
    services.move_to_stage(actor=admin, version=first, stage=Stage.PRODUCTION)
    services.set_alias(actor=admin, version=first, alias="champion")


@pytest.mark.parametrize(("path", "fields"), LOOK_UPS)
def test_a_look_up_takes_one(call: Callable[..., None], messages: list[str], path: str, fields: dict[str, Any]) -> None:
    call("GET", path, **fields)  # notes the last use of the token, once a minute
    messages.clear()

    call("GET", path, **fields)

    assert len(messages) == 1, messages


@pytest.mark.parametrize(("number", "path", "fields"), WRITES)
def test_a_write_takes_few(
    call: Callable[..., None], messages: list[str], number: int, path: str, fields: dict[str, Any]
) -> None:
    call("GET", LOOK_UPS[0][0], **LOOK_UPS[0][1])
    messages.clear()

    call("POST", path, **fields)

    assert len(messages) == number, messages
