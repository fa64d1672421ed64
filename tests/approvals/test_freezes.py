"""Freezes of a policy: what waits, what is refused, and what happens when they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from accounts.models import Team, User
from accounts.services import remove_from_team
from approvals import services, tasks
from approvals.models import TransitionRequest
from approvals.policy import parse
from approvals.simulation import replay
from registry import services as registry
from registry.gate import GateRefused
from registry.models import ModelVersion, Stage
from tests.approvals.conftest import ARCHIVED, CHAMPION, POLICY, PRODUCTION, approve, publish, stage_of

State = TransitionRequest.State
BEFORE = datetime(2026, 12, 19, 12, 0, tzinfo=UTC)
WITHIN = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)
END = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)
FROZEN = POLICY + 'freeze: [{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: "Year-end"}]\n'
MACHINES = FROZEN.replace("  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}\n", "")


@pytest.fixture
def approved(version: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    """Asked for and approved by everybody within the freeze."""
    publish(FROZEN)
    with travel(WITHIN, tick=False):
        request = services.open_request(actor=mira, version=version, target=PRODUCTION)
        approve(alice, request)
        return approve(dkim, request)


def the_minute(moment: datetime, request: TransitionRequest) -> TransitionRequest:
    with travel(moment, tick=False):
        tasks.carry_out_due()
    request.refresh_from_db()
    return request


def test_a_satisfied_request_stays_open_until_the_freeze_ends(approved: TransitionRequest) -> None:
    assert approved.state == State.OPEN
    assert the_minute(END - timedelta(minutes=1), approved).state == State.OPEN

    assert the_minute(END, approved).state == State.APPLIED
    assert stage_of(approved.version) == "Production"


def test_what_everybody_has_approved_does_not_expire_while_a_freeze_lasts(
    version: ModelVersion, mira: User, alice: User, dkim: User
) -> None:
    publish(FROZEN + "reviews: {expires_after: 2d}\n")
    with travel(WITHIN, tick=False):
        request = services.open_request(actor=mira, version=version, target=PRODUCTION)
        approve(alice, request)
        approve(dkim, request)

    with travel(WITHIN + timedelta(days=3), tick=False):
        assert services.reconsider(request).state == State.OPEN

    assert the_minute(END, request).state == State.APPLIED


def test_what_loses_an_approval_after_its_end_expires_although_a_freeze_lasts(
    version: ModelVersion, mira: User, alice: User, dkim: User, risk: Team
) -> None:
    publish(FROZEN + "reviews: {expires_after: 2d}\n")
    with travel(WITHIN, tick=False):
        request = services.open_request(actor=mira, version=version, target=PRODUCTION)
        approve(alice, request)
        approve(dkim, request)

    remove_from_team(actor=None, team=risk, users=[alice])

    with travel(WITHIN + timedelta(days=3), tick=False):
        assert services.reconsider(request).state == State.EXPIRED


def test_the_end_of_a_freeze_wakes_what_it_is_about_and_nothing_else(
    approved: TransitionRequest, django_assert_num_queries: object
) -> None:
    with travel(WITHIN, tick=False), django_assert_num_queries(2):  # type: ignore[operator]
        tasks.carry_out_due()


@pytest.mark.parametrize("answer", ["refuse", "allow_if_satisfied", "open_request"])
def test_within_it_a_direct_move_is_refused_with_its_end(version: ModelVersion, admin: User, answer: str) -> None:
    publish(MACHINES + f"on_direct_change: {answer}\n")

    with travel(WITHIN, tick=False), pytest.raises(GateRefused, match="Nothing moves until 4 January 2027 08:00 UTC"):
        registry.move_to_stage(actor=admin, version=version, stage=Stage.PRODUCTION)
    with travel(WITHIN, tick=False), pytest.raises(GateRefused, match="Nothing moves until"):
        registry.set_alias(actor=admin, version=version, alias=CHAMPION.name)

    assert stage_of(version) == "None"


def test_outside_of_it_a_satisfied_direct_move_goes_through(version: ModelVersion, admin: User) -> None:
    publish(MACHINES + "on_direct_change: allow_if_satisfied\n")

    with travel(BEFORE, tick=False):
        registry.move_to_stage(actor=admin, version=version, stage=Stage.PRODUCTION)

    assert stage_of(version) == "Production"


def test_nothing_leaves_a_frozen_target(holder: ModelVersion, admin: User) -> None:
    publish(MACHINES)

    with travel(WITHIN, tick=False):
        request = services.open_request(actor=admin, version=holder, target=ARCHIVED)
        with pytest.raises(GateRefused, match="Nothing moves until"):
            registry.move_to_stage(actor=admin, version=holder, stage=Stage.ARCHIVED)

    assert request.state == State.OPEN
    assert the_minute(END, request).state == State.APPLIED


def test_a_replay_judges_by_the_moment_of_the_decision(
    guarded: ModelVersion, mira: User, alice: User, dkim: User, admin: User
) -> None:
    with travel(BEFORE, tick=False):
        request = services.open_request(actor=mira, version=guarded, target=PRODUCTION)
        approve(alice, request)
        approve(dkim, request)
    earlier = FROZEN.replace("2026-12-20", "2026-12-19")

    with travel(WITHIN, tick=False):
        spared, stopped = replay(parse(FROZEN), FROZEN, user=admin), replay(parse(earlier), earlier, user=admin)

    assert (spared.moves, spared.stopped) == (1, [])
    [one] = stopped.stopped
    assert one.sentence == "All 3 requirements are met; nothing moves until 4 January 2027 08:00 UTC: Year-end."
