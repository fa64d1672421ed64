"""One credential that asks too often is told to wait; nobody else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

from accounts.models import User
from core.errors import TooMany
from tests.cast import Api
from web import limits


@pytest.fixture(autouse=True)
def _empty(settings: Settings) -> Iterator[None]:
    settings.REQUESTS_PER_SECOND = 2
    limits._buckets.clear()
    yield
    limits._buckets.clear()


def spend(credential: str) -> int:
    """How many go through at this moment."""
    for number in range(1000):
        try:
            limits.take_one(credential)
        except TooMany:
            return number
    raise AssertionError("there is no end")


def test_a_bucket_holds_ten_seconds_and_refills_steadily(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: clock[0])

    assert spend("Bearer a") == 20
    clock[0] += 3
    assert (spend("Bearer a"), spend("Bearer b")) == (6, 20)
    clock[0] += 10_000
    assert spend("Bearer a") == 20


def test_nothing_is_counted_where_the_limit_is_off(settings: Settings) -> None:
    settings.REQUESTS_PER_SECOND = 0

    for _ in range(100):
        limits.take_one("Bearer a")

    assert limits._buckets == {}


def test_others_do_not_make_a_busy_credential_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 5)
    monkeypatch.setattr(limits.time, "monotonic", lambda: 1000.0)
    assert spend("Bearer a") == 20

    for number in range(20):
        limits.take_one(f"Bearer {number}")
        with pytest.raises(TooMany):
            limits.take_one("Bearer a")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 5)

    for number in range(20):
        limits.take_one(f"Bearer {number}")

    assert len(limits._buckets) <= 5


@pytest.mark.parametrize("path", ["me/", "/api/2.0/mlflow/registered-models/search"])
def test_each_door_says_when_to_come_again(path: str, mira: User, sam: User, api: Callable[..., Api]) -> None:
    caller, other = api(mira), api(sam)

    answers = [caller.get(path) for _ in range(40)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and {answer.status_code for answer in answers} == {200, 429}
    body = refused[-1].json()
    assert refused[-1]["Retry-After"] == "1"
    assert body.get("error_code", body.get("error", {}).get("code")) in ("REQUEST_LIMIT_EXCEEDED", "too_many")
    assert other.get(path).status_code == 200


def test_a_wrong_token_is_counted_too(mira: User) -> None:
    wrong = Api(mira)
    wrong.client.defaults["HTTP_AUTHORIZATION"] = "Bearer cs_wrong"

    assert {wrong.get("me/").status_code for _ in range(30)} == {401, 429}
