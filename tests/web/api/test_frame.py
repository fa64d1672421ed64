"""What every call of our own API has in common: errors, repeated calls, the reference."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client

from accounts.models import IdempotencyRecord, Token, User
from core.clock import now
from registry.models import RegisteredModel
from tests.cast import Api
from tests.factories import make_model
from web.api import account

KEY = {"Idempotency-Key": "3f0c"}


# -- Errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status", "code"),
    [
        ("GET", "/api/v1/nothing/", b"", "", 404, "not_found"),
        ("PATCH", "/api/v1/me/", b"{}", "application/json", 405, "method_not_allowed"),
        ("POST", "/api/v1/models/", b"name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("POST", "/api/v1/models/", b'{"name": ', "application/json", 400, "parse_error"),
        ("POST", "/api/v1/models/", b'{"name": NaN}', "application/json", 400, "parse_error"),
        ("POST", "/api/v1/models/", b'{"name": "\xff"}', "application/json", 400, "parse_error"),
        ("POST", "/api/v1/models/", b"[" * 100_000, "application/json", 400, "parse_error"),
        ("POST", "/api/v1/models/", b'{"name": "\\ud800"}', "application/json", 400, "parse_error"),
        ("POST", "/api/v1/models/", b" " * (2**20 + 1), "application/json", 413, "too_large"),
        ("GET", "/api/v1/models/?cursor=%00", b"", "", 400, "invalid"),
        ("GET", "/api/v1/models/a%00b/", b"", "", 400, "invalid"),
    ],
)
def test_every_refusal_has_one_shape(
    api: Callable[..., Api], mira: User, method: str, path: str, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = api(mira).client.generic(method, path, body, content_type=kind)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"]


def test_a_fault_of_ours_shows_nothing_of_the_inside(
    api: Callable[..., Api], mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(account, "user_of", fail)
    client = api(mira)
    client.client.raise_request_exception = False

    answer = client.get("me/")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert b"secret detail" not in answer.content


def test_a_misspelt_field_is_named(api: Callable[..., Api], mira: User) -> None:
    error = api(mira).post("tokens/", {"name": "ci", "readonly": True}).json()["error"]

    assert (error["code"], error["field"]) == ("invalid", "readonly")


def test_a_session_needs_a_csrf_token(mira: User, session: Callable[[User], Client]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = session(mira).cookies
    wish = {"name": "churn"}

    forged = client.post("/api/v1/models/", wish, content_type="application/json")
    client.cookies["csrftoken"] = "x" * 32
    headers = {"X-CSRFToken": "x" * 32}
    meant = client.post("/api/v1/models/", wish, content_type="application/json", headers=headers)

    assert (forged.status_code, forged.json()["error"]["code"]) == (403, "not_permitted")
    assert meant.status_code == 201


# -- Repeated calls ----------------------------------------------------------------------------------------------------


def test_a_repeated_call_is_done_once_and_answered_twice(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)

    first = client.post("models/", {"name": "churn"}, headers=KEY)
    second = client.post("models/", {"name": "churn"}, headers=KEY)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert RegisteredModel.objects.count() == 1


def test_a_key_belongs_to_one_call(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)
    client.post("models/", {"name": "churn"}, headers=KEY)

    other = client.post("models/", {"name": "fraud"}, headers=KEY)

    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert RegisteredModel.objects.count() == 1


def test_a_key_belongs_to_one_person(api: Callable[..., Api], mira: User, sam: User) -> None:
    api(mira).post("models/", {"name": "churn"}, headers=KEY)

    assert api(sam).post("models/", {"name": "fraud"}, headers=KEY).json()["name"] == "fraud"


def test_a_refusal_is_looked_at_anew(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)
    wish = {"alias": "champion", "version": 1}
    assert client.put("models/churn/aliases/", wish, headers=KEY).status_code == 404
    make_model("churn")

    assert client.patch("models/churn/", {"description": "There now."}, headers=KEY).status_code == 200


def test_an_answer_is_forgotten_after_a_day(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)
    client.post("models/", {"name": "churn"}, headers=KEY)
    IdempotencyRecord.objects.update(created_at=now() - timedelta(hours=25))

    assert client.post("models/", {"name": "churn"}, headers=KEY).status_code == 409  # the name is taken
    assert not IdempotencyRecord.objects.exists()


def test_a_secret_is_not_kept_for_a_second_answer(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)

    secret = client.post("tokens/", {"name": "ci"}, headers=KEY).json()["secret"]
    second = client.post("tokens/", {"name": "ci"}, headers=KEY)

    assert second.status_code == 409
    assert secret not in second.content.decode()
    assert IdempotencyRecord.objects.get().answer == ""
    assert Token.objects.filter(name="ci").count() == 1


def test_a_delete_is_repeated_quietly(api: Callable[..., Api], mira: User) -> None:
    client = api(mira)
    made = client.post("tokens/", {"name": "ci"}).json()
    send: Callable[[], Any] = lambda: client.client.delete(f"/api/v1/tokens/{made['id']}/", headers=KEY)  # noqa: E731

    assert [send().status_code, send().status_code] == [204, 204]


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel", "a\tb"])
def test_a_key_is_short_and_plain(api: Callable[..., Api], mira: User, key: str) -> None:
    answer = api(mira).post("models/", {"name": "churn"}, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert not RegisteredModel.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_the_same_call_many_times_at_once_is_done_once(api: Callable[..., Api], mira: User) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: SQLite has one writer")
    client, answers, start = api(mira), [], threading.Barrier(8)

    def call() -> None:
        start.wait()
        answers.append(client.post("tokens/", {"name": "ci"}, headers=KEY).status_code)
        connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [201] + [409] * 7
    assert Token.objects.filter(name="ci").count() == 1


# -- The reference -----------------------------------------------------------------------------------------------------


def test_the_schema_is_openapi_and_names_every_call_once(api: Callable[..., Api], sam: User) -> None:
    schema = api(sam).client.get("/api/v1/schema/?format=json").json()

    calls = [call for path in schema["paths"].values() for call in path.values()]
    assert schema["openapi"].startswith("3.1")
    assert len(calls) > 40
    assert len({call["operationId"] for call in calls}) == len(calls)
    assert all(call["description"] for call in calls)
    assert all(call["responses"]["default"] for call in calls)


def test_the_reference_runs_nothing_inline_and_nothing_from_elsewhere(
    session: Callable[[User], Client], sam: User
) -> None:
    page = session(sam).get("/api/v1/docs/")
    script = session(sam).get("/api/v1/docs/?script")

    text = page.content.decode()
    assert page.status_code == 200
    assert "<style" not in text and "://" not in text
    assert all(" src=" in tag for tag in text.split("<script")[1:])
    assert "/api/v1/schema/" in script.content.decode()
    assert script["Content-Type"].startswith("application/javascript")
