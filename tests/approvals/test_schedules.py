"""Requests that name the moment of their carrying out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from time_machine import travel

from accounts.models import User
from approvals import services, tasks
from approvals.models import TransitionRequest
from approvals.standing import standing_of
from core.clock import now
from core.errors import Conflict, Invalid, NotPermitted
from notifications.models import Event
from registry import services as registry
from registry.gate import GateRefused, Permit
from registry.models import ModelVersion, Stage
from tests.approvals.conftest import POLICY, PRODUCTION, approve, judge, publish, stage_of

State = TransitionRequest.State
TODAY = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
THEN = datetime(2026, 5, 3, 14, 0, tzinfo=UTC)


@pytest.fixture
def scheduled(guarded: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    """Approved by everybody on 1 May, to be carried out on 3 May."""
    with travel(TODAY, tick=False):
        request = services.open_request(actor=mira, version=guarded, target=PRODUCTION, not_before=THEN)
        approve(alice, request)
        return approve(dkim, request)


def at(moment: datetime, request: TransitionRequest) -> TransitionRequest:
    """The minute's task, at that minute."""
    with travel(moment, tick=False):
        tasks.carry_out_due()
    request.refresh_from_db()
    return request


def test_a_satisfied_request_waits_for_its_moment_and_says_so(scheduled: TransitionRequest) -> None:
    with travel(TODAY, tick=False):
        verdict = standing_of(scheduled).verdict

    assert scheduled.state == State.OPEN and stage_of(scheduled.version) == "None"
    assert verdict.sentence == "All 3 requirements are met; it is carried out not before 3 May 14:00 UTC."
    [node] = verdict.open
    assert (node.kind, node.status, node.who, node.people) == ("schedule", "waiting", (), ())
    assert verdict.counts == (3, 3) and verdict.waits_for_time and verdict.waiting_for == {}


def test_it_is_applied_at_that_minute_and_not_before(scheduled: TransitionRequest, mira: User) -> None:
    assert at(THEN - timedelta(minutes=1), scheduled).state == State.OPEN

    assert at(THEN, scheduled).state == State.APPLIED

    assert stage_of(scheduled.version) == "Production" and scheduled.closed_by == mira


def test_a_minute_in_which_no_worker_ran_is_made_up_for(scheduled: TransitionRequest) -> None:
    assert at(THEN + timedelta(minutes=4), scheduled).state == State.APPLIED


def test_the_gate_refuses_the_permit_until_then(scheduled: TransitionRequest, mira: User) -> None:
    with travel(THEN - timedelta(seconds=1), tick=False), pytest.raises(GateRefused, match="not before 3 May 14:00"):
        registry.move_to_stage(
            actor=mira, version=scheduled.version, stage=Stage.PRODUCTION, permit=Permit(scheduled.pk)
        )


def test_what_is_no_longer_met_by_then_is_not_applied(scheduled: TransitionRequest) -> None:
    with travel(TODAY, tick=False):
        publish(POLICY.replace("min: 0.90", "min: 0.99"))

    assert at(THEN, scheduled).state == State.OPEN


def test_approvals_are_still_missed_while_it_waits(guarded: ModelVersion, mira: User, alice: User, dkim: User) -> None:
    with travel(TODAY, tick=False):
        request = services.open_request(actor=mira, version=guarded, target=PRODUCTION, not_before=THEN)
        standing = standing_of(request)

    assert standing.verdict.sentence.startswith("Waiting for 2 approvals")
    assert standing.verdict.sentence.endswith("; it is carried out not before 3 May 14:00 UTC.")
    assert set(standing.reviewers) == {alice.pk, dkim.pk}


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        (TODAY, "in the future"),
        (TODAY - timedelta(days=1), "in the future"),
        (TODAY + timedelta(days=367), "at most a year"),
        (THEN.replace(tzinfo=None), "time zone"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))), "at most a year"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), "in the future"),
    ],
)
def test_a_moment_that_cannot_be_is_refused(guarded: ModelVersion, mira: User, moment: datetime, problem: str) -> None:
    with travel(TODAY, tick=False), pytest.raises(Invalid, match=problem):
        services.open_request(actor=mira, version=guarded, target=PRODUCTION, not_before=moment)

    assert not TransitionRequest.objects.exists()


def test_a_moment_is_kept_in_utc_on_the_minute(guarded: ModelVersion, mira: User) -> None:
    moment = datetime(2026, 5, 3, 15, 59, 1, tzinfo=timezone(timedelta(hours=2)))

    with travel(TODAY, tick=False):
        request = services.open_request(actor=mira, version=guarded, target=PRODUCTION, not_before=moment)

    assert request.not_before == THEN


def test_nobody_schedules_beyond_the_end_of_the_request(guarded: ModelVersion, mira: User) -> None:
    publish(POLICY + "reviews: {expires_after: 2d}\n")

    with travel(TODAY, tick=False), pytest.raises(Invalid, match="production-gate gives it until 3 May 09:00 UTC"):
        services.open_request(actor=mira, version=guarded, target=PRODUCTION, not_before=THEN)


def test_what_was_decided_in_time_is_carried_out_however_late_a_worker_comes(scheduled: TransitionRequest) -> None:
    with travel(TODAY, tick=False):
        publish(POLICY + "reviews: {expires_after: 3d, dismiss_on: []}\n")

    with travel(THEN + timedelta(days=7), tick=False):
        assert services.reconsider(scheduled).state == State.APPLIED


# -- Another moment ----------------------------------------------------------------------------------------------------


def test_the_requester_chooses_another_moment(scheduled: TransitionRequest, mira: User, alice: User) -> None:
    later = THEN + timedelta(days=1)

    with travel(TODAY, tick=False):
        services.reschedule_request(actor=mira, review_request=scheduled, not_before=later)

    event = Event.objects.get(kind="request.rescheduled")
    assert event.data["not_before"] == later.isoformat() and alice.pk in event.audience
    assert "not before 4 May 14:00 UTC" in event.summary
    assert at(THEN, scheduled).state == State.OPEN
    assert at(later, scheduled).state == State.APPLIED


def test_without_a_moment_a_satisfied_request_is_applied_at_once(scheduled: TransitionRequest, admin: User) -> None:
    with travel(TODAY, tick=False):
        done = services.reschedule_request(actor=admin, review_request=scheduled, not_before=None)

    assert done.state == State.APPLIED and done.closed_by == admin


def test_without_a_moment_an_unsatisfied_request_waits_for_what_is_unmet(asked: TransitionRequest, mira: User) -> None:
    services.reschedule_request(actor=mira, review_request=asked, not_before=now() + timedelta(days=1))

    done = services.reschedule_request(actor=mira, review_request=asked, not_before=None)

    assert done.state == State.OPEN and done.not_before is None


def test_nobody_else_changes_the_moment(scheduled: TransitionRequest, alice: User, sam: User) -> None:
    for person in (alice, sam):
        with travel(TODAY, tick=False), pytest.raises(NotPermitted, match="who asked, or who manages"):
            services.reschedule_request(actor=person, review_request=scheduled, not_before=None)

    assert stage_of(scheduled.version) == "None"


def test_the_same_moment_again_is_a_conflict(scheduled: TransitionRequest, mira: User) -> None:
    with travel(TODAY, tick=False), pytest.raises(Conflict, match="already"):
        services.reschedule_request(actor=mira, review_request=scheduled, not_before=THEN)


def test_a_closed_request_has_no_other_moment(scheduled: TransitionRequest, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=scheduled)

    with pytest.raises(Conflict, match="already withdrawn"):
        services.reschedule_request(actor=mira, review_request=scheduled, not_before=None)


def test_what_waits_for_changes_is_not_applied_when_its_moment_comes(
    scheduled: TransitionRequest, mira: User, alice: User
) -> None:
    with travel(TODAY, tick=False):
        judge(alice, scheduled, "request_changes", comment="Not on a Sunday.")

        services.reschedule_request(actor=mira, review_request=scheduled, not_before=None)

    assert at(THEN, scheduled).state == State.NEEDS_CHANGES


def test_the_minutes_task_is_on_the_schedule_and_looks_at_nothing_else(
    scheduled: TransitionRequest, settings: pytest.FixtureRequest
) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["carry_out_due"]  # type: ignore[attr-defined]

    assert entry["task"] == tasks.carry_out_due.name
    for moment in (TODAY, THEN - timedelta(seconds=1), THEN + timedelta(hours=1)):
        due = TransitionRequest.objects.due(since=moment - tasks.LOOKS_BACK, until=moment)
        assert not due.exists()
