"""Carrying a request out although not all is met."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from accounts.models import Level, Team, User
from accounts.services import add_to_team, create_team, grant, remove_from_team
from approvals import services
from approvals.models import Policy, PolicyRevision, TransitionRequest
from approvals.permissions import can_bypass
from approvals.standing import standing_of
from core.clock import now
from core.errors import Conflict, Invalid, NotPermitted
from notifications.models import Event
from registry import services as registry
from registry.gate import GateRefused, Permit
from registry.models import ModelVersion, RegisteredModel, Stage
from tests.approvals.conftest import ARCHIVED, CHAMPION, POLICY, PRODUCTION, STAGING, judge, look_at, publish, stage_of
from tests.factories import make_version

State = TransitionRequest.State
REASON = "Production is down, and this fixes it."
NAMING = POLICY + "bypass: {teams: [on-call], people: [alice]}\n"


@pytest.fixture
def on_call(sam: User) -> Team:
    """sam, who otherwise only watches."""
    team = create_team(actor=None, name="on-call")
    add_to_team(actor=None, team=team, users=[sam])
    return team


@pytest.fixture
def bypassable(on_call: Team, version: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    publish(NAMING)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


def bypass(actor: User, request: TransitionRequest, reason: str = REASON, seen: str = "") -> TransitionRequest:
    """Of what the request's page shows now, unless told otherwise."""
    seen = seen or look_at(request)
    return services.bypass_request(actor=actor, review_request=request, reason=reason, seen=seen)


def is_untouched(request: TransitionRequest) -> bool:
    request.refresh_from_db()
    return request.is_pending and not request.is_bypassed and stage_of(request.version) == "None"


def test_somebody_of_the_team_on_call_bypasses_what_is_unmet(
    bypassable: TransitionRequest, sam: User, holder: ModelVersion
) -> None:
    done = bypass(sam, bypassable)

    assert (done.state, done.is_bypassed, done.closed_by, done.closed_reason) == (State.APPLIED, True, sam, REASON)
    assert stage_of(done.version) == "Production" and stage_of(holder) == "Archived"
    assert done.verdict and not done.verdict["satisfied"] and done.verdict["counts"] == {"met": 2, "total": 3}


def test_so_does_somebody_by_name(bypassable: TransitionRequest, alice: User) -> None:
    assert bypass(alice, bypassable).is_bypassed


def test_everybody_whose_say_was_passed_over_is_told(
    bypassable: TransitionRequest, sam: User, mira: User, alice: User, dkim: User, admin: User, eve: User
) -> None:
    bypass(sam, bypassable)

    loud, applied = Event.objects.filter(kind__startswith="transition.").order_by("id")
    assert (loud.kind, applied.kind) == ("transition.bypassed", "transition.applied")
    assert {mira.pk, alice.pk, dkim.pk, admin.pk} <= set(loud.audience) and eve.pk not in loud.audience
    assert loud.data["comment"] == REASON and "approvals" in loud.data["unmet"][0]
    assert loud.data["policies"] == ["production-gate"] and applied.data["bypassed"] is True
    assert "by a bypass of production-gate" in applied.summary


def test_what_is_applied_in_order_is_no_bypass(asked: TransitionRequest, alice: User, dkim: User) -> None:
    for person in (alice, dkim):
        judge(person, asked, "approve")

    asked.refresh_from_db()
    assert asked.state == State.APPLIED and not asked.is_bypassed
    assert Event.objects.get(kind="transition.applied").data["bypassed"] is False


# -- Who may not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["mira", "dkim", "eve", "admin", "ci_bot"])
def test_nobody_else_bypasses(bypassable: TransitionRequest, who: str, request: pytest.FixtureRequest) -> None:
    person = request.getfixturevalue(who)
    grant(actor=None, level=Level.MANAGE, user=person, pattern="*")

    with pytest.raises(NotPermitted):
        bypass(person, bypassable)

    assert is_untouched(bypassable)


def test_without_the_key_nobody_may(asked: TransitionRequest, alice: User, admin: User) -> None:
    for person in (alice, admin):
        with pytest.raises(NotPermitted, match="does not name you"):
            bypass(person, asked)


def test_a_service_account_may_not_even_if_it_is_named(version: ModelVersion, ci_bot: User, mira: User) -> None:
    publish(POLICY + "bypass: {people: [ci-bot]}\n")
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)

    with pytest.raises(NotPermitted, match="service account"):
        bypass(ci_bot, request)


def test_who_has_left_the_team_may_not(bypassable: TransitionRequest, on_call: Team, sam: User) -> None:
    remove_from_team(actor=None, team=on_call, users=[sam])

    with pytest.raises(NotPermitted, match="does not name you"):
        bypass(sam, bypassable)


def test_every_policy_with_a_say_has_to_name_them(bypassable: TransitionRequest, sam: User, alice: User) -> None:
    publish(NAMING, name="second-gate", bypass="{people: [alice]}")

    with pytest.raises(NotPermitted, match="second-gate does not name you"):
        bypass(sam, bypassable)

    assert bypass(alice, bypassable).is_bypassed


def test_a_policy_that_only_warns_has_no_say_in_it(bypassable: TransitionRequest, sam: User) -> None:
    publish(POLICY, name="trial-gate", enforcement="warn")

    assert bypass(sam, bypassable).is_bypassed


def test_who_may_not_read_the_model_may_not(
    bypassable: TransitionRequest, on_call: Team, eve: User, settings: pytest.FixtureRequest
) -> None:
    add_to_team(actor=None, team=on_call, users=[eve])
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    with pytest.raises(NotPermitted):
        bypass(eve, bypassable)


@pytest.mark.parametrize("reason", ["", "   ", "Down!", "123456789", "   short    "])
def test_it_needs_a_reason(bypassable: TransitionRequest, sam: User, reason: str) -> None:
    with pytest.raises(Invalid, match="at least 10 characters"):
        bypass(sam, bypassable, reason)

    assert is_untouched(bypassable)


# -- What it overrides, and what not -----------------------------------------------------------------------------------


def test_it_overrides_a_call_for_changes(bypassable: TransitionRequest, sam: User, dkim: User) -> None:
    judge(dkim, bypassable, "request_changes", comment="Not like this.")

    done = bypass(sam, bypassable)

    assert done.state == State.APPLIED and done.verdict and "dkim asked for changes" in done.verdict["sentence"]


def test_it_overrides_a_schedule(bypassable: TransitionRequest, sam: User, mira: User) -> None:
    services.reschedule_request(actor=mira, review_request=bypassable, not_before=now() + timedelta(days=3))

    assert bypass(sam, bypassable).state == State.APPLIED


def test_it_overrides_a_freeze(bypassable: TransitionRequest, sam: User, mira: User) -> None:
    publish(NAMING + "freeze: [{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: Year-end}]\n")

    with travel(datetime(2026, 12, 24, 18, 0, tzinfo=UTC), tick=False):
        done = bypass(sam, bypassable)

    assert done.state == State.APPLIED and done.verdict and "nothing moves until" in done.verdict["sentence"]


def test_it_takes_a_version_out_of_a_guarded_target(on_call: Team, holder: ModelVersion, mira: User, sam: User) -> None:
    publish(NAMING)
    request = services.open_request(actor=mira, version=holder, target=ARCHIVED)

    bypass(sam, request)

    assert stage_of(holder) == "Archived"


def test_it_moves_an_alias(on_call: Team, version: ModelVersion, mira: User, sam: User) -> None:
    publish(NAMING)
    request = services.open_request(actor=mira, version=version, target=CHAMPION)

    bypass(sam, request)

    version.model.refresh_from_db()
    assert version.model.aliases["champion"] == version.version


def test_what_no_policy_guards_needs_no_bypass(on_call: Team, version: ModelVersion, sam: User) -> None:
    publish(NAMING)
    request = services.open_request(actor=sam, version=version, target=STAGING)

    with pytest.raises(NotPermitted, match="No policy stands in the way"):
        bypass(sam, request)


def test_a_policy_that_cannot_be_read_names_nobody(bypassable: TransitionRequest, sam: User, alice: User) -> None:
    PolicyRevision.objects.filter(pk=Policy.objects.get().current_id).update(text="name: [broken")

    for person in (sam, alice):
        with pytest.raises(NotPermitted, match="cannot be read"):
            bypass(person, bypassable)

    assert is_untouched(bypassable)


def test_what_has_expired_expires_instead(on_call: Team, version: ModelVersion, mira: User, sam: User) -> None:
    publish(NAMING + "reviews: {expires_after: 2d}\n")
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)

    with travel(now() + timedelta(days=3), tick=False), pytest.raises(Conflict, match="already expired"):
        bypass(sam, request)

    request.refresh_from_db()
    assert request.state == State.EXPIRED and not request.is_bypassed and stage_of(version) == "None"


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda version: ModelVersion.objects.filter(pk=version.pk).update(digest="f" * 64), "the files have changed"),
        (lambda version: publish(NAMING + "archive_replaced: false\n"), "the policy has changed"),
        (lambda version: make_version(version.model, stage="Production"), "another version has taken the target"),
    ],
)
def test_nobody_bypasses_what_they_have_not_seen(
    bypassable: TransitionRequest, sam: User, move: Callable[[ModelVersion], object], said: str
) -> None:
    seen = look_at(bypassable)
    move(bypassable.version)

    with pytest.raises(Conflict, match=f"What you saw has changed: {said}"):
        bypass(sam, bypassable, seen=seen)

    assert is_untouched(bypassable) and Event.objects.filter(kind="request.updated").exists()
    assert bypass(sam, bypassable).is_bypassed


def test_what_was_seen_has_to_be_said(bypassable: TransitionRequest, sam: User) -> None:
    with pytest.raises(Invalid, match="'seen'"):
        services.bypass_request(actor=sam, review_request=bypassable, reason=REASON, seen="")

    assert is_untouched(bypassable)


def test_what_is_closed_stays_closed(bypassable: TransitionRequest, sam: User, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=bypassable)

    with pytest.raises(Conflict, match="already withdrawn"):
        bypass(sam, bypassable)


def test_a_second_bypass_is_a_conflict(bypassable: TransitionRequest, sam: User, alice: User) -> None:
    bypass(sam, bypassable)

    with pytest.raises(Conflict, match="already applied"):
        bypass(alice, bypassable)

    assert Event.objects.filter(kind="transition.bypassed").count() == 1


# -- The gate asks again -----------------------------------------------------------------------------------------------


def move(actor: User, request: TransitionRequest, reason: str = REASON, **other: object) -> None:
    """As a service would that checks nothing."""
    version = other.get("version", request.version)
    assert isinstance(version, ModelVersion)
    registry.move_to_stage(
        actor=actor, version=version, stage=Stage.PRODUCTION, permit=Permit(request.pk, bypass=reason)
    )


def test_the_gate_lets_through_whom_the_policies_name(bypassable: TransitionRequest, sam: User) -> None:
    move(sam, bypassable)

    assert stage_of(bypassable.version) == "Production"


@pytest.mark.parametrize("who", ["mira", "dkim", "admin", "ci_bot"])
def test_a_permit_alone_is_never_enough(
    bypassable: TransitionRequest, who: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(GateRefused):
        move(request.getfixturevalue(who), bypassable)

    assert is_untouched(bypassable)


def test_the_gate_wants_a_reason_as_well(bypassable: TransitionRequest, sam: User) -> None:
    with pytest.raises(Invalid):
        move(sam, bypassable, "short")
    with pytest.raises(GateRefused, match="is not satisfied"):
        move(sam, bypassable, "")

    assert is_untouched(bypassable)


def test_the_gate_refuses_a_bypass_of_what_is_closed(bypassable: TransitionRequest, sam: User, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=bypassable)

    with pytest.raises(Conflict, match="already withdrawn"):
        move(sam, bypassable)


def test_without_a_bypass_the_gate_refuses_what_waits_for_changes(
    bypassable: TransitionRequest, sam: User, dkim: User
) -> None:
    judge(dkim, bypassable, "request_changes", comment="Not like this.")

    with pytest.raises(Conflict):
        move(sam, bypassable, "")


def test_the_gate_refuses_a_bypass_of_another_version(
    bypassable: TransitionRequest, model: RegisteredModel, holder: ModelVersion, sam: User
) -> None:
    with pytest.raises(GateRefused, match="another change"):
        move(sam, bypassable, version=holder)


def test_the_gate_refuses_a_bypass_of_what_has_moved_since(bypassable: TransitionRequest, sam: User) -> None:
    publish(NAMING + "archive_replaced: false\n")

    with pytest.raises(GateRefused, match="the policy has changed"):
        move(sam, bypassable)


def test_the_gate_refuses_a_bypass_of_what_has_expired(
    on_call: Team, version: ModelVersion, mira: User, sam: User
) -> None:
    publish(NAMING + "reviews: {expires_after: 2d}\n")
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)

    with travel(now() + timedelta(days=3), tick=False), pytest.raises(GateRefused, match="has expired"):
        move(sam, request)


def test_the_answer_is_the_same_for_the_button(bypassable: TransitionRequest, sam: User, dkim: User) -> None:
    standing = standing_of(bypassable)

    assert can_bypass(sam, bypassable, standing)
    assert not can_bypass(dkim, bypassable, standing)
