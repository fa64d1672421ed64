"""Asking, judging and waiting through our own API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.dateparse import parse_datetime
from pytest_django import Settings

from accounts import services as accounts
from accounts.models import Level, User
from approvals import services
from approvals.models import TransitionRequest
from core.clock import now
from registry.models import ModelVersion
from tests.cast import Api
from tests.factories import make_model, make_version
from tests.scenes import PRODUCTION, STAGING
from web.api import requests

POLICY = """\
name: production-gate
match:
  models: ["churn-*"]
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
"""


@pytest.fixture
def version(mira: User, alice: User, dkim: User) -> ModelVersion:
    """A guarded candidate beside the version in Production."""
    model = make_model("churn-predictor", user=mira)
    make_version(model, stage="Production", user=mira, metrics={"accuracy": 0.91})
    services.publish_policy(actor=None, text=POLICY)
    return make_version(model, user=mira, metrics={"accuracy": 0.95})


@pytest.fixture
def asked(version: ModelVersion, mira: User) -> TransitionRequest:
    return services.open_request(actor=mira, version=version, target=PRODUCTION, comment="Better on all counts.")


def say(api: Api, pk: int, decision: str, comment: str = "", **more: Any) -> Any:
    seen = more.pop("seen", None) or api.get(f"requests/{pk}/").json()["seen"]
    return api.post(f"requests/{pk}/reviews/", {"decision": decision, "comment": comment, "seen": seen}, **more)


def test_a_request_is_opened_approved_and_applied(
    version: ModelVersion, api: Callable[..., Api], mira: User, alice: User, dkim: User
) -> None:
    wish = {"model": "churn-predictor", "version": version.version, "target": "Production"}
    opened = api(mira).post("requests/", wish)
    pk = opened.json()["id"]
    first = say(api(alice), pk, "approve", "Risk is fine with it.")
    last = say(api(dkim), pk, "approve")

    assert (opened.status_code, first.status_code, last.status_code) == (201, 201, 201)
    assert opened.json()["verdict"]["waiting_for"] == {"approvals": 2}
    assert first.json()["state"] == "open"
    assert last.json()["state"] == "applied"
    assert last.json()["seen"] is None
    assert ModelVersion.objects.get(pk=version.pk).current_stage == "Production"


def test_a_policy_that_is_unmet_refuses_the_direct_move_and_says_where_to_ask(
    version: ModelVersion, api: Callable[..., Api], admin: User
) -> None:
    answer = api(admin).post(f"models/churn-predictor/versions/{version.version}/move/", {"stage": "Production"})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "not_permitted")
    assert any("2 approvals" in sentence for sentence in error["details"]["unmet"])
    assert f"/models/churn-predictor/versions/{version.version}/request/" in error["details"]["ask_url"]
    assert ModelVersion.objects.get(pk=version.pk).current_stage == "None"


def test_a_rejection_needs_a_reason(asked: TransitionRequest, api: Callable[..., Api], alice: User) -> None:
    answer = say(api(alice), asked.pk, "reject")

    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "comment")
    assert api(alice).get(f"requests/{asked.pk}/").json()["state"] == "open"


def test_a_verdict_on_what_has_moved_since_is_a_conflict(
    asked: TransitionRequest, api: Callable[..., Api], alice: User
) -> None:
    seen = api(alice).get(f"requests/{asked.pk}/").json()["seen"]
    services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.92"))

    answer = say(api(alice), asked.pk, "approve", seen=seen)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_the_answer_says_who_may_do_what_and_why_not(
    asked: TransitionRequest, api: Callable[..., Api], mira: User, sam: User, alice: User
) -> None:
    may = {user.username: api(user).get(f"requests/{asked.pk}/").json()["may"] for user in (mira, sam, alice)}

    assert may["alice"]["approve"] == {"allowed": True, "reason": ""}
    assert not may["sam"]["approve"]["allowed"]
    assert "no such team" in may["sam"]["approve"]["reason"]
    assert may["mira"]["withdraw"]["allowed"]
    assert not may["alice"]["withdraw"]["allowed"]


def test_changes_asked_for_are_answered_with_ready(
    asked: TransitionRequest, api: Callable[..., Api], alice: User, mira: User
) -> None:
    say(api(alice), asked.pk, "request_changes", "Explain the drop in recall.")

    waiting = api(mira).get("requests/", state="needs_changes").json()["items"]
    answer = api(mira).post(f"requests/{asked.pk}/ready/", {"comment": "See the notes."})

    assert [item["id"] for item in waiting] == [asked.pk]
    assert (answer.status_code, answer.json()["state"]) == (200, "open")


def test_a_request_is_withdrawn_once(asked: TransitionRequest, api: Callable[..., Api], mira: User) -> None:
    first = api(mira).post(f"requests/{asked.pk}/withdraw/", {"comment": "Not yet."})
    second = api(mira).post(f"requests/{asked.pk}/withdraw/")

    assert (first.status_code, first.json()["state"], first.json()["closed_reason"]) == (200, "withdrawn", "Not yet.")
    assert second.status_code == 409


def test_a_comment_joins_the_conversation(asked: TransitionRequest, api: Callable[..., Api], sam: User) -> None:
    made = api(sam).post(f"requests/{asked.pk}/comments/", {"text": "Looking forward to it."})
    empty = api(sam).post(f"requests/{asked.pk}/comments/", {"text": "  "})

    assert made.status_code == 201
    assert empty.status_code == 400
    assert [c["text"] for c in api(sam).get(f"requests/{asked.pk}/").json()["comments"]] == ["Looking forward to it."]


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"model": "churn-predictor", "version": 2}, 400),
        ({"model": "churn-predictor", "version": 2, "target": "Nowhere"}, 400),
        ({"model": "churn-predictor", "version": 99, "target": "Production"}, 404),
        ({"model": "nothing", "version": 2, "target": "Production"}, 404),
        ({"model": "churn-predictor", "version": "two", "target": "Production"}, 400),
        ({"model": "churn-predictor", "version": 2, "target": "Production", "tagret": 1}, 400),
        (["churn-predictor"], 400),
        ("churn-predictor", 400),
        (None, 400),
    ],
)
def test_a_wish_that_cannot_be_read_opens_nothing(
    version: ModelVersion, api: Callable[..., Api], mira: User, wish: object, status: int
) -> None:
    answer = api(mira).post("requests/", wish)

    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"code", "message"}
    assert not TransitionRequest.objects.exists()


def test_what_one_may_not_see_is_not_there(
    asked: TransitionRequest, api: Callable[..., Api], eve: User, settings: Any
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert api(eve).get("requests/").json()["items"] == []
    assert api(eve).get(f"requests/{asked.pk}/").status_code == 404
    assert api(eve).post(f"requests/{asked.pk}/comments/", {"text": "Hello"}).status_code == 404


# -- Lists -------------------------------------------------------------------------------------------------------------


def test_the_list_knows_whose_turn_it_is(
    asked: TransitionRequest, api: Callable[..., Api], mira: User, alice: User, sam: User
) -> None:
    def ids(user: User, **filters: Any) -> list[int]:
        return [item["id"] for item in api(user).get("requests/", **filters).json()["items"]]

    assert ids(alice, waiting_on_me="true") == [asked.pk]
    assert ids(sam, waiting_on_me="true") == []
    assert ids(mira, mine="true") == [asked.pk]
    assert ids(alice, mine="true") == []
    assert ids(sam, state="pending", model="churn-predictor") == [asked.pk]
    assert ids(sam, state="decided") == []


def test_the_list_comes_in_pages(
    asked: TransitionRequest, api: Callable[..., Api], mira: User, version: ModelVersion
) -> None:
    later = services.open_request(actor=mira, version=version, target=STAGING)

    first = api(mira).get("requests/", limit="1").json()
    second = api(mira).get("requests/", limit="1", cursor=first["next_cursor"]).json()

    assert [item["id"] for item in first["items"]] == [later.pk]
    assert [item["id"] for item in second["items"]] == [asked.pk]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "e30=", "bnVsbA==", "WzEuNV0=", "WyJhIl0=", "W10=", "WzFd" * 300, "Wy0xXQ=="])
def test_a_foreign_cursor_is_refused(api: Callable[..., Api], mira: User, cursor: str) -> None:
    assert api(mira).get("requests/", cursor=cursor).status_code == 400


def test_a_longer_list_takes_no_more_statements(
    version: ModelVersion, api: Callable[..., Api], mira: User, django_assert_num_queries: Any
) -> None:
    client = api(mira)
    services.open_request(actor=mira, version=version, target=PRODUCTION)
    client.get("requests/")
    with CaptureQueriesContext(connection) as one:
        client.get("requests/")

    for number in range(4):
        other = make_version("churn-predictor", user=mira, metrics={"accuracy": 0.9 + number / 100})
        services.open_request(actor=mira, version=other, target=PRODUCTION)

    with django_assert_num_queries(len(one)):
        assert len(client.get("requests/").json()["items"]) == 5


# -- Waiting -----------------------------------------------------------------------------------------------------------


def test_waiting_ends_when_the_time_is_up(asked: TransitionRequest, api: Callable[..., Api], mira: User) -> None:
    started = time.monotonic()
    answer = api(mira).get(f"requests/{asked.pk}/", wait="1")

    assert answer.json()["state"] == "open"
    assert 1 <= time.monotonic() - started < 10


def test_another_state_than_the_known_one_is_answered_at_once(
    asked: TransitionRequest, api: Callable[..., Api], mira: User
) -> None:
    started = time.monotonic()
    answer = api(mira).get(f"requests/{asked.pk}/", wait="60", state="needs_changes")

    assert answer.json()["state"] == "open"
    assert time.monotonic() - started < 10


def test_a_decided_request_makes_nobody_wait(asked: TransitionRequest, api: Callable[..., Api], mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=asked)

    started = time.monotonic()
    answer = api(mira).get(f"requests/{asked.pk}/", wait="60")

    assert answer.json()["state"] == "withdrawn"
    assert time.monotonic() - started < 10


@pytest.mark.django_db(transaction=True)
def test_who_waits_hears_of_the_decision(asked: TransitionRequest, api: Callable[..., Api], mira: User) -> None:
    client, answers = api(mira), []

    def wait() -> None:
        answers.append(client.get(f"requests/{asked.pk}/", wait="60").json()["state"])
        connections.close_all()

    waiting = threading.Thread(target=wait)
    waiting.start()
    services.withdraw_request(actor=mira, review_request=asked)
    waiting.join(timeout=30)

    assert answers == ["withdrawn"]


@pytest.mark.django_db(transaction=True)
def test_who_is_shut_out_while_they_wait_hears_no_more(
    asked: TransitionRequest, session: Callable[[User], Client], eve: User, mira: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    accounts.grant(actor=None, level=Level.READ, user=eve, pattern="churn-*")
    client, answers = session(eve), []

    begun = threading.Event()  # the request was read as eve may see it, and is open

    def heard(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        found = execute(sql, *rest)
        if "approvals_transitionrequest" in sql:
            begun.set()
        return found

    def wait() -> None:
        with connection.execute_wrapper(heard):
            answers.append(client.get(f"/api/v1/requests/{asked.pk}/?wait=30").status_code)
        connections.close_all()

    assert client.get(f"/api/v1/requests/{asked.pk}/").status_code == 200
    waiting = threading.Thread(target=wait)
    waiting.start()
    assert begun.wait(timeout=60)
    accounts.change_grants(actor=None, levels={eve: None}, pattern="churn-*")
    services.withdraw_request(actor=mira, review_request=asked)
    waiting.join(timeout=60)

    assert answers == [404]


def test_when_all_places_are_taken_nobody_waits(
    asked: TransitionRequest, api: Callable[..., Api], mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = threading.BoundedSemaphore(1)
    taken.acquire()
    monkeypatch.setattr(requests, "WAITING_PLACES", taken)

    started = time.monotonic()
    answer = api(mira).get(f"requests/{asked.pk}/", wait="60")

    assert answer.json()["state"] == "open"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("wait", ["61", "-1", "long", "1e9"])
def test_nobody_waits_longer_than_a_minute(
    asked: TransitionRequest, api: Callable[..., Api], mira: User, wait: str
) -> None:
    assert api(mira).get(f"requests/{asked.pk}/", wait=wait).status_code == 400


# -- When it is carried out --------------------------------------------------------------------------------------------


def test_a_moment_is_named_and_changed(version: ModelVersion, mira: User, sam: User, api: Callable[..., Api]) -> None:
    moments = [(now() + timedelta(days=days)).replace(second=0, microsecond=0) for days in (1, 2)]
    body = {"model": "churn-predictor", "version": version.version, "target": "Production"}

    opened = api(mira).post("requests/", {**body, "not_before": moments[0].isoformat()})

    assert opened.status_code == 201 and parse_datetime(opened.json()["not_before"]) == moments[0]
    assert "; it is carried out not before " in opened.json()["verdict"]["sentence"]
    path = f"requests/{opened.json()['id']}/schedule/"
    later = api(mira).post(path, {"not_before": moments[1].isoformat()})
    assert later.status_code == 200 and parse_datetime(later.json()["not_before"]) == moments[1]
    assert api(sam).post(path, {"not_before": None}).status_code == 403
    assert api(mira).post(path, {"not_before": "soon"}).status_code == 400
    assert api(mira).post(path, {"not_before": None}).json()["not_before"] is None


# -- Bypass ------------------------------------------------------------------------------------------------------------


def test_whom_the_policy_names_may_bypass(asked: TransitionRequest, alice: User, dkim: User) -> None:
    services.publish_policy(actor=None, text=POLICY + "bypass: {people: [alice]}\n")
    shown = Api(alice).get(f"requests/{asked.pk}/").json()
    path, body = f"requests/{asked.pk}/bypass/", {"reason": "Production is down.", "seen": shown["seen"]}

    assert shown["may"]["bypass"]["allowed"] is True
    assert Api(dkim).post(path, body).status_code == 403
    assert Api(alice, read_only=True).post(path, body).status_code == 403
    assert Api(alice).post(path, {**body, "reason": "Down."}).status_code == 400
    assert Api(alice).post(path, {"reason": body["reason"]}).status_code == 400
    done = Api(alice).post(path, body)

    assert done.status_code == 200 and done.json()["is_bypassed"] is True and done.json()["state"] == "applied"
    assert Api(alice).post(path, body).status_code == 409


# -- Reviewers ---------------------------------------------------------------------------------------------------------


def test_somebody_is_asked_for_a_review_and_no_longer(
    asked: TransitionRequest, mira: User, sam: User, api: Callable[..., Api]
) -> None:
    path = f"requests/{asked.pk}/reviewers/"

    made = api(mira).post(path, {"person": "sam"})

    assert made.status_code == 201
    assert [(part["person"], part["asked_by"]) for part in made.json()["reviewers"]] == [("sam", "mira")]
    waiting = api(sam).get("requests/", waiting_on_me="true").json()["items"]
    assert [item["id"] for item in waiting] == [asked.pk]
    assert api(mira).post(path, {"person": "sam"}).status_code == 409
    assert api(mira).post(path, {"person": "nobody"}).status_code == 404
    assert Api(mira, read_only=True).post(path, {"person": "sam"}).status_code == 403
    assert api(mira).delete(f"{path}?person=sam").json()["reviewers"][0]["asked_by"] is None
    assert api(mira).delete(f"{path}?person=sam").status_code == 404


def test_a_reviewer_steps_back_and_in_again(
    asked: TransitionRequest, alice: User, sam: User, api: Callable[..., Api]
) -> None:
    path = f"requests/{asked.pk}/recusal/"
    assert api(alice).get(f"requests/{asked.pk}/").json()["may"]["recuse"]["allowed"]

    back = api(alice).post(path, {"reason": "I trained the baseline."})

    assert (back.status_code, back.json()["reviewers"][0]["recused_reason"]) == (201, "I trained the baseline.")
    assert "Step in again" in back.json()["may"]["approve"]["reason"]
    assert say(api(alice), asked.pk, "approve").status_code == 403
    assert api(alice).post(path).status_code == 409
    assert api(sam).post(path).status_code == 403
    assert api(alice).post(path, {"reason": "x" * 251}).status_code == 400
    assert api(alice).delete(path).json()["reviewers"][0]["recused_at"] is None
    assert api(alice).delete(path).status_code == 409
