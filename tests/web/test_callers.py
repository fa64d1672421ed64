"""A token that is looked up along with what its bearer asks for: who turns out to be nobody gets none of it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import services
from accounts.models import Level, User
from approvals.services import open_request
from core import prepared
from core.errors import NotPermitted
from notifications.models import Event
from registry.models import Alias, ModelVersion, RegisteredModel
from registry.services import set_alias, set_model_tag, set_version_tag
from tests.cast import person, token_of
from tests.factories import make_version
from tests.scenes import STAGING
from web.authentication import Caller
from web.mlflow import endpoint, params

API = "/api/2.0/mlflow"
LOOK_UPS = [
    f"{API}/model-versions/get?name=churn&version=1",
    f"{API}/model-versions/get-download-uri?name=churn&version=1",
    f"{API}/model-versions/search?filter=name%3D%27churn%27",
    f"{API}/model-versions/search",
    f"{API}/registered-models/get?name=churn",
    f"{API}/registered-models/list",
    f"{API}/databricks/registered-models/get?name=churn",
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
    ModelVersion.objects.update(source="s3://hidden", storage_location="s3://hidden")
    _, outside = token_of(person("eve"))
    _, inside = token_of(person("vera", level=Level.READ))

    for address in LOOK_UPS:
        answer = ask(address, outside)
        assert answer.status_code == (200 if "search" in address or "/list" in address else 404), address
        assert b"hidden" not in answer.content
        assert ask(address, inside).status_code == 200
        assert b"hidden" in ask(address, inside).content


@pytest.mark.parametrize("question", ["version=x", "name=churn&version=1", "name=nothing&version=1"])
def test_one_bearers_token_does_not_travel_with_the_next_request(question: str, mira: User) -> None:
    """However the view ended: with an answer, before it looked anything up, and by a fault of ours."""
    _, secret = token_of(mira)

    ask(f"{API}/model-versions/get?{question}", secret)
    assert prepared._companion.get() is None
    ask(f"{API}/model-versions/get?{question}", "cs_wrong")
    assert prepared._companion.get() is None


def test_a_fault_of_a_view_leaves_no_token_behind(mira: User, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = token_of(mira)
    fail = Mock(side_effect=ZeroDivisionError)
    monkeypatch.setattr(params.Params, "of_query", fail)

    answer = Client(raise_request_exception=False).get(
        f"{API}/model-versions/get?name=churn&version=1", headers={"authorization": f"Bearer {secret}"}
    )

    assert (answer.status_code, fail.called, prepared._companion.get()) == (500, True, None)


def test_a_password_that_looks_like_a_token_is_one_all_the_same(mira: User) -> None:
    mira.set_password("cs_is how my password begins")
    mira.save()

    def status(password: str) -> int:
        basic = base64.b64encode(f"mira:{password}".encode()).decode()
        return Client().get(LOOK_UPS[0], headers={"authorization": f"Basic {basic}"}).status_code

    assert (status("cs_is how my password begins"), status("cs_wrong"), status(token_of(mira)[1])) == (200, 401, 200)


def test_the_body_of_a_stranger_is_not_read(mira: User, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(endpoint, "_read_body", lambda request: read.append(request.path) or b'{"name": "churn"}')

    def send(secret: str) -> int:
        client = Client(headers={"authorization": f"Bearer {secret}"})
        address = f"{API}/registered-models/get-latest-versions"
        return client.post(address, b"{}", content_type="application/json").status_code

    assert (send("cs_wrong"), read) == (401, [])
    assert (send(token_of(mira)[1]), len(read)) == (200, 1)


VERSION = {"name": "churn", "version": "1"}


def regular(secret: str) -> None:
    """From now on, the token travels with what its bearer asks for."""
    assert ask(LOOK_UPS[0], secret).status_code == 200


def basic(secret: str) -> str:
    return f"Basic {base64.b64encode(f'x:{secret}'.encode()).decode()}"


WRITES = [
    ("POST", "model-versions/create", {"name": "churn", "source": "s3://models/churn"}),
    *((method, "model-versions/update", VERSION | {"description": "new"}) for method in ("PATCH", "POST")),
    ("POST", "model-versions/set-tag", VERSION | {"key": "k", "value": "v"}),
    ("DELETE", "model-versions/delete-tag", VERSION | {"key": "known"}),
    ("POST", "model-versions/transition-stage", VERSION | {"stage": "Staging"}),
    ("DELETE", "model-versions/delete", VERSION),
    *((method, "registered-models/update", {"name": "churn", "description": "new"}) for method in ("PATCH", "POST")),
    ("POST", "registered-models/rename", {"name": "churn", "new_name": "fraud"}),
    ("POST", "registered-models/set-tag", {"name": "churn", "key": "k", "value": "v"}),
    ("DELETE", "registered-models/delete-tag", {"name": "churn", "key": "known"}),
    ("POST", "registered-models/alias", VERSION | {"alias": "champion"}),
    ("DELETE", "registered-models/alias", {"name": "churn", "alias": "known"}),
    ("DELETE", "registered-models/delete", {"name": "churn"}),
    ("POST", "databricks/model-versions/transition-stage", VERSION | {"stage": "Staging"}),
    ("POST", "transition-requests/create", VERSION | {"stage": "Production"}),
    ("POST", "transition-requests/approve", VERSION | {"stage": "Staging"}),
    ("POST", "transition-requests/reject", VERSION | {"stage": "Staging"}),
    ("DELETE", "transition-requests/delete", VERSION | {"stage": "Staging", "creator": "admin"}),
    ("POST", "comments/create", VERSION | {"comment": "Look."}),
]


def everything() -> list[Any]:
    return [list(table.objects.order_by("pk").values()) for table in (RegisteredModel, ModelVersion, Alias, Event)]


@pytest.mark.parametrize(("method", "path", "fields"), WRITES)
def test_a_write_is_its_bearers_and_nobody_elses(method: str, path: str, fields: dict[str, str], admin: User) -> None:
    version = ModelVersion.objects.get()
    set_version_tag(actor=admin, version=version, key="known", value="v")
    set_model_tag(actor=admin, model=version.model, key="known", value="v")
    set_alias(actor=admin, version=version, alias="known")
    open_request(actor=admin, version=version, target=STAGING)
    before = everything()

    def status(authorization: str, body: dict[str, str] = fields) -> int:
        client = Client(headers={"authorization": authorization})
        return client.generic(method, f"{API}/{path}", json.dumps(body), content_type="application/json").status_code

    reading = token_of(admin, read_only=True)[1]
    regular(reading)
    for body in (fields, {}, {"name": "nobody", "version": "x"}):
        assert status("Bearer cs_wrong", body) == status(basic("cs_wrong"), body) == 401
        assert status(f"Bearer {reading}", body) == status(basic(reading), body) == 403
        assert prepared._companion.get() is None
    assert everything() == before

    secret = token_of(admin)[1]
    regular(secret)
    assert status(f"Bearer {secret}") == 200
    assert everything() != before


def test_who_writes_is_known_before_core_writes_anything(admin: User) -> None:
    """Even for a view that forgot to look something up."""
    caller = Caller(token_of(admin, read_only=True)[1])
    event = Event(kind="k", summary="s")
    writes: list[Callable[[], object]] = [
        lambda: prepared.add(event),
        lambda: prepared.insert(event),
        lambda: prepared.insert_or_leave(event, unique=["key"]),
    ]

    for write in writes:
        caller.travel(writes=True)
        with pytest.raises(NotPermitted), transaction.atomic():
            write()

    assert not Event.objects.filter(kind="k").exists()
    with pytest.raises(NotPermitted):
        caller.settle()


@pytest.mark.parametrize("address", LOOK_UPS)
def test_nothing_is_looked_up_for_a_stranger(address: str, mira: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """But their token; and for a revoked one, which was good once, what the view begins with and no more."""
    token, secret = token_of(mira)
    regular(secret)
    asked: list[str] = []
    rows = prepared._rows
    monkeypatch.setattr(
        prepared, "_rows", lambda statements: (asked.extend(s[0] for s in statements), rows(statements))[1]
    )

    assert ask(address, "cs_wrong").status_code == 401
    assert len(asked) == 1 and "accounts_token" in asked[0]

    services.revoke_token(actor=mira, token=token)
    asked.clear()
    assert ask(address, secret).status_code == 401
    assert len(asked) <= 3
    asked.clear()
    assert ask(address, secret).status_code == 401
    assert len(asked) == 1 and "accounts_token" in asked[0]


def test_one_bearers_token_does_not_stay_behind_when_it_was_answered_before(mira: User) -> None:
    """As that in a Basic header, which is asked for before it may be taken for a password."""
    _, secret = token_of(mira)
    regular(secret)

    for address in (f"{API}/model-versions/get?version=x", LOOK_UPS[0]):
        Client().get(address, headers={"authorization": basic(secret)})
        assert prepared._companion.get() is None


def test_what_writes_and_looks_up_its_caller_along_the_way_is_tested_above() -> None:
    def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for entry in patterns:
            pattern = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from routes(entry.url_patterns, pattern)
            else:
                yield pattern, entry.callback

    marked = {
        (method, pattern.removeprefix(f"{API[1:]}/"))
        for pattern, view in routes(get_resolver().url_patterns)
        for method in getattr(view, "looks_up_by", ())
        if not (method == "GET" or getattr(view, "only_reads", False) or re.match("ajax-|.*/preview/", pattern))
    }

    assert marked == {(method, path) for method, path, _ in WRITES}
