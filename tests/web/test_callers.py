"""A token that is looked up along with what its bearer asks for: who turns out to be nobody gets none of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import services
from accounts.models import Level, User
from tests.cast import person, token_of
from tests.factories import make_version
from web.mlflow import endpoint

API = "/api/2.0/mlflow"
LOOK_UPS = [
    f"{API}/model-versions/get?name=churn&version=1",
    f"{API}/model-versions/get-download-uri?name=churn&version=1",
    f"{API}/model-versions/search?filter=name%3D%27churn%27",
    f"{API}/model-versions/search",
    f"{API}/registered-models/get?name=churn",
    f"{API}/registered-models/get-latest-versions?name=churn",
    f"{API}/registered-models/alias?name=churn&alias=latest",
]


def ask(address: str, secret: str, **more: Any) -> HttpResponse:
    return Client().get(address, headers={"authorization": f"Bearer {secret}"}, **more)


@pytest.fixture(autouse=True)
def _churn(mira: User) -> None:
    make_version("churn", user=mira)


@pytest.mark.parametrize("address", LOOK_UPS)
def test_a_look_up_answers_its_bearer_and_nobody_else(address: str, mira: User) -> None:
    token, secret = token_of(mira)

    assert b"churn" in ask(address, secret).content or "download-uri" in address
    services.revoke_token(actor=mira, token=token)

    for wrong in (secret, "cs_wrong", "nonsense", ""):
        answer = ask(address, wrong)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED"), wrong
        assert b"churn" not in answer.content


@pytest.mark.parametrize("address", LOOK_UPS)
def test_who_is_nobody_hears_nothing_else_first(address: str) -> None:
    """Neither what is wrong with the question nor that there is no such thing."""
    for question in ("", "?name=nothing&version=1&alias=a", "?version=x&max_results=-1&filter=%FF"):
        assert ask(address.partition("?")[0] + question, "cs_wrong").status_code == 401


def test_what_a_bearer_may_not_read_is_not_there(settings: Any) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    _, outside = token_of(person("eve"))
    _, inside = token_of(person("vera", level=Level.READ))

    for address in LOOK_UPS[:3] + LOOK_UPS[4:]:
        assert b"churn-" not in ask(address, outside).content
        assert ask(address, outside).status_code in (200 if "search" in address else 404, 404), address
        assert ask(address, inside).status_code == 200


def test_one_bearers_token_does_not_stay_for_the_next_request(mira: User) -> None:
    """Also where the view did not look anything up."""
    _, secret = token_of(mira)

    assert ask(f"{API}/model-versions/get?version=x", secret).status_code == 400
    with CaptureQueriesContext(connection) as seen:
        assert Client().get("/health/live").status_code == 200
    assert len(seen) == 0
    assert ask(f"{API}/model-versions/get?name=churn&version=1", "cs_wrong").status_code == 401


@pytest.mark.parametrize("more", [{"CONTENT_LENGTH": "100000"}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_that_may_be_long_is_not_read_for_a_stranger(
    more: dict[str, str], mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(endpoint, "_read_body", lambda request: read.append(request.path) or b'{"name": "churn"}')
    _, secret = token_of(mira)

    def send(token: str) -> int:
        return (
            Client()
            .generic(
                "POST",
                f"{API}/registered-models/get-latest-versions",
                b"{}",
                content_type="application/json",
                headers={"authorization": f"Bearer {token}"},
                **{"wsgi.input_terminated": True, **more},
            )
            .status_code
        )

    assert (send("cs_wrong"), read) == (401, [])
    assert (send(secret), len(read)) == (200, 1)


def test_only_views_that_read_look_up_their_caller_along_the_way() -> None:
    def views(patterns: list[URLPattern | URLResolver]) -> list[Any]:
        found = []
        for pattern in patterns:
            found += views(pattern.url_patterns) if isinstance(pattern, URLResolver) else [pattern.callback]
        return found

    marked = {view for view in views(get_resolver().url_patterns) if getattr(view, "looks_up", False)}

    assert len(marked) >= 6
    # By method: the GET of an alias reads, and only a GET is looked at where the view has no mark of its own.
    assert {view.__name__ for view in marked if not getattr(view, "only_reads", False)} == {"dispatch"}
