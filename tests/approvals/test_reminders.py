"""Telling those who are awaited that they still are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from time_machine import travel

from accounts.models import User
from approvals import services, tasks
from approvals.models import TransitionRequest
from approvals.policy import parse, sentences
from core.clock import now
from notifications.models import Event
from registry.models import ModelVersion
from tests.approvals.conftest import POLICY, PRODUCTION, approve, judge, publish

REMINDING = POLICY + "reviews: {remind_after: 3d}\n"


@pytest.fixture
def waiting(version: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    publish(REMINDING)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


def reminded(**later: float) -> list[set[int]]:
    """Who was told by each reminder, after beat has looked at that time."""
    with travel(now() + timedelta(**later), tick=False):
        tasks.reconsider_pending()
    return [set(event.audience) for event in Event.objects.filter(kind="request.overdue").order_by("id")]


def test_who_is_awaited_is_told_again_each_time_the_interval_has_passed(
    waiting: TransitionRequest, alice: User, dkim: User
) -> None:
    both = {alice.pk, dkim.pk}

    assert reminded(days=2, hours=23) == []
    assert reminded(days=3, minutes=1) == [both]
    assert reminded(days=5) == [both]
    assert reminded(days=6, minutes=2) == [both, both]


def test_who_has_approved_is_not_told(waiting: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, waiting)

    assert reminded(days=4) == [{dkim.pk}]


def test_while_changes_are_asked_for_the_requester_is_told(waiting: TransitionRequest, mira: User, dkim: User) -> None:
    judge(dkim, waiting, "request_changes", comment="Not yet.")

    assert reminded(days=4) == [{mira.pk}]


def test_who_may_not_read_the_model_is_never_told(
    waiting: TransitionRequest, alice: User, settings: pytest.FixtureRequest
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert reminded(days=4) == []
    waiting.refresh_from_db()
    assert waiting.reminded_at is None


def test_without_the_key_nobody_is_told(asked: TransitionRequest) -> None:
    assert reminded(days=300) == []


def test_a_closed_request_reminds_nobody(waiting: TransitionRequest, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=waiting)

    assert reminded(days=4) == []


def test_the_most_eager_policy_decides_how_often(waiting: TransitionRequest, alice: User, dkim: User) -> None:
    publish(POLICY, name="second-gate", reviews="{remind_after: 12h}")

    assert reminded(hours=13) == [{alice.pk, dkim.pk}]


@pytest.mark.parametrize(("time", "told"), [("3d", "every 3 days"), ("1d", "every day"), ("12h", "every 12 hours")])
def test_it_is_told_in_plain_language(time: str, told: str) -> None:
    assert any(told in line for line in sentences(parse(POLICY + f"reviews: {{remind_after: {time}}}\n")))
