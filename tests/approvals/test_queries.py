"""Whose turn it is, and that reading costs the same for one request as for many."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Level, User
from accounts.services import grant
from approvals import services
from approvals.models import TransitionRequest
from approvals.queries import waiting_on
from approvals.standing import standing_of, standings_of
from registry.models import ModelVersion
from tests.approvals.conftest import PRODUCTION, STAGING, approve, judge
from tests.factories import make_model, make_version


def statements(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


def test_a_request_waits_on_those_who_can_clear_it(asked: TransitionRequest, alice: User, dkim: User, sam: User, mira: User, admin: User) -> None:
    assert list(waiting_on(alice)) == [asked]
    assert list(waiting_on(dkim)) == [asked]
    for other in (sam, mira, admin):
        assert list(waiting_on(other)) == []


def test_it_does_not_wait_on_who_has_spoken(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)

    assert list(waiting_on(alice)) == []
    assert list(waiting_on(dkim)) == [asked]


def test_it_waits_again_on_whose_approval_was_voided(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)
    ModelVersion.objects.filter(pk=asked.version_id).update(digest="f" * 64)

    assert list(waiting_on(alice)) == [asked]


def test_while_changes_are_asked_for_it_waits_on_the_requester_alone(asked: TransitionRequest, alice: User, dkim: User) -> None:
    judge(alice, asked, "request_changes", comment="Which data?")

    assert list(waiting_on(alice)) == [] and list(waiting_on(dkim)) == []


def test_without_a_policy_it_waits_on_those_who_may_move(version: ModelVersion, sam: User, alice: User, admin: User) -> None:
    grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, user=alice, pattern="churn-*")
    request = services.open_request(actor=sam, version=version, target=STAGING)

    assert list(waiting_on(User.objects.get(pk=alice.pk))) == [request]
    assert list(waiting_on(admin)) == [request]
    assert list(waiting_on(sam)) == []


def test_what_one_may_not_see_does_not_wait_on_one(asked: TransitionRequest, alice: User, settings: pytest.FixtureRequest) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert list(waiting_on(User.objects.get(pk=alice.pk))) == []


def test_a_standing_costs_few_statements(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)
    request = TransitionRequest.objects.with_rows().get()

    assert statements(lambda: standing_of(request).verdict) <= 7


def test_many_standings_cost_as_much_as_one(asked: TransitionRequest, sam: User, alice: User, admin: User) -> None:
    services.open_request(actor=sam, version=make_version("pricing", user=sam), target=PRODUCTION)
    few = list(TransitionRequest.objects.with_rows())
    for number in range(5):
        version = make_version(make_model(f"churn-{number}"), user=sam, metrics={"accuracy": 0.9})
        approve(alice, services.open_request(actor=sam, version=version, target=PRODUCTION))
        services.open_request(actor=sam, version=make_version(f"other-{number}", user=sam), target=STAGING)
    many = list(TransitionRequest.objects.with_rows())
    assert (len(few), len(many)) == (2, 12)

    cost = [statements(lambda: [standing.verdict.sentence for standing in standings_of(requests)]) for requests in (few, many)]

    assert cost[0] == cost[1] <= 13


def test_the_inbox_costs_the_same_for_many_requests(asked: TransitionRequest, sam: User, alice: User) -> None:
    before = statements(lambda: list(waiting_on(User.objects.get(pk=alice.pk))))
    for number in range(5):
        version = make_version(make_model(f"churn-{number}"), user=sam, metrics={"accuracy": 0.95, "f1": 0.9})
        services.open_request(actor=sam, version=version, target=PRODUCTION)

    assert statements(lambda: list(waiting_on(User.objects.get(pk=alice.pk)))) == before
    assert len(waiting_on(alice)) == 6
