"""Returning a stage or an alias to the version that held it before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from time_machine import travel

from accounts.models import Level, Team, User
from accounts.services import grant, remove_from_team
from approvals import services
from approvals.models import Review, TransitionRequest
from approvals.policy import parse
from approvals.returning import holding_before, number_before
from approvals.simulation import replay
from approvals.standing import standing_of, standings_of
from core.errors import Conflict, NotPermitted
from notifications.models import Event
from registry import services as registry
from registry.gate import GateRefused, Permit, Target
from registry.models import ModelVersion, RegisteredModel, Stage, StageHolding
from tests.approvals.conftest import CHAMPION, POLICY, PRODUCTION, STAGING, approve, judge, look_at, publish, stage_of
from tests.factories import make_version
from tracking.models import Run

State = TransitionRequest.State


@pytest.fixture
def chief(mira: User) -> User:
    """mira, who may move versions."""
    grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=mira, pattern="*")
    return mira


def promote(version: ModelVersion, target: Target, asker: User, *reviewers: User) -> TransitionRequest:
    request = services.open_request(actor=asker, version=version, target=target)
    for person in reviewers:
        request = approve(person, request)
    assert request.state == State.APPLIED
    return request


@pytest.fixture
def good(guarded: ModelVersion, chief: User, alice: User, dkim: User) -> ModelVersion:
    """It held Production by a request that alice and dkim approved, until ``bad`` took it."""
    promote(guarded, PRODUCTION, chief, alice, dkim)
    return guarded


@pytest.fixture
def bad(good: ModelVersion, chief: User, alice: User, dkim: User) -> ModelVersion:
    version = make_version(good.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9})
    promote(version, PRODUCTION, chief, alice, dkim)
    return version


def roll_back(actor: User, model: RegisteredModel, target: Target = PRODUCTION, to: int = 0) -> TransitionRequest:
    """To the version that the page would offer, unless told otherwise."""
    before = holding_before(model, target)
    to = to or (before.version.version if before else 1)
    return services.request_rollback(actor=actor, model=model, target=target, to=to, comment="It is worse.")


# -- What was approved then holds --------------------------------------------------------------------------------------


def test_one_click_returns_to_what_was_approved_before(good: ModelVersion, bad: ModelVersion, chief: User) -> None:
    origin = TransitionRequest.objects.get(version=good)

    request = roll_back(chief, good.model)

    assert (request.state, request.version, request.returns_to) == (State.APPLIED, good, origin)
    assert stage_of(good) == "Production" and stage_of(bad) == "Archived"
    assert not Review.objects.filter(request=request).exists()


def test_its_events_say_who_approved_then_and_what_it_returns_to(
    good: ModelVersion, bad: ModelVersion, chief: User, alice: User, dkim: User
) -> None:
    request = roll_back(chief, good.model)

    applied, back = Event.objects.filter(request_id=request.pk, kind__startswith="transition.").order_by("id")
    assert (applied.kind, back.kind) == ("transition.applied", "transition.rolled_back")
    assert applied.data["approved_by"] == ["alice", "dkim"]
    assert back.data["returns_to"] == request.returns_to_id and back.data["previous_version"] == bad.version
    assert {alice.pk, dkim.pk} <= set(back.audience)
    assert back.summary == f"mira took Production of churn-predictor back from version {bad.version} to version 2."


def test_a_second_press_does_not_return_to_what_was_just_left(
    good: ModelVersion, bad: ModelVersion, chief: User, admin: User
) -> None:
    roll_back(chief, good.model, to=good.version)

    for person in (chief, admin):
        with pytest.raises(Conflict, match=f"means version {bad.version} now, not version {good.version}"):
            roll_back(person, good.model, to=good.version)

    assert stage_of(good) == "Production" and stage_of(bad) == "Archived"


def test_one_may_return_and_return_again(good: ModelVersion, bad: ModelVersion, chief: User) -> None:
    first = roll_back(chief, good.model)

    forth = roll_back(chief, good.model)
    back = roll_back(chief, good.model)

    assert (forth.version, back.version) == (bad, good)
    assert {forth.state, back.state} == {State.APPLIED} and back.returns_to == first.returns_to


def test_an_alias_returns_as_well(guarded: ModelVersion, chief: User, alice: User, dkim: User) -> None:
    promote(guarded, CHAMPION, chief, alice, dkim)
    newer = make_version(guarded.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9})
    promote(newer, CHAMPION, chief, alice, dkim)

    assert roll_back(chief, guarded.model, CHAMPION).state == State.APPLIED

    guarded.model.refresh_from_db()
    assert guarded.model.aliases["champion"] == guarded.version


def test_without_a_policy_who_may_move_it_returns_it(version: ModelVersion, sam: User, admin: User) -> None:
    newer = make_version(version.model)
    for each in (version, newer):
        promote(each, STAGING, sam, admin)

    assert roll_back(admin, version.model, STAGING).state == State.APPLIED


# -- And when it does not ----------------------------------------------------------------------------------------------


def test_asking_gives_nobody_a_right(good: ModelVersion, bad: ModelVersion, sam: User, admin: User) -> None:
    request = roll_back(sam, good.model)

    assert request.state == State.OPEN and stage_of(bad) == "Production"
    assert standing_of(request).would_apply(admin)
    assert approve(admin, request).state == State.APPLIED


def test_without_a_policy_asking_gives_nobody_a_right_either(version: ModelVersion, sam: User, admin: User) -> None:
    newer = make_version(version.model)
    for each in (version, newer):
        promote(each, STAGING, sam, admin)

    request = roll_back(sam, version.model, STAGING)

    assert request.state == State.OPEN and approve(admin, request).state == State.APPLIED


def test_a_policy_that_has_changed_wants_new_approvals(
    good: ModelVersion, bad: ModelVersion, chief: User, alice: User, dkim: User
) -> None:
    publish(POLICY, archive_replaced="false")

    request = roll_back(chief, good.model)

    told = f"The reviews of request {request.returns_to_id} do not count here: since then the policy has changed."
    assert request.state == State.OPEN and standing_of(request).not_carried == told
    approve(alice, request)
    assert approve(dkim, request).state == State.APPLIED
    assert Event.objects.filter(kind="transition.rolled_back", request_id=request.pk).exists()


@pytest.mark.parametrize(("dismiss_on", "state"), [("[evidence]", State.OPEN), ("[policy]", State.APPLIED)])
def test_other_evidence_counts_as_the_policy_says(
    version: ModelVersion, chief: User, alice: User, dkim: User, dismiss_on: str, state: str
) -> None:
    publish(POLICY + f"reviews: {{dismiss_on: {dismiss_on}}}\n")
    newer = make_version(version.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9})
    for each in (version, newer):
        promote(each, PRODUCTION, chief, alice, dkim)
    run = Run.objects.get(pk=version.run_id)
    run.metrics["accuracy"] = {"value": 0.94, "timestamp": 2, "step": 2}
    run.save()

    assert roll_back(chief, version.model).state == state


def test_what_has_taken_the_target_meanwhile_is_not_replaced_on_what_was_said_before(
    version: ModelVersion, chief: User, alice: User, dkim: User
) -> None:
    publish(
        POLICY
        + "freeze: [{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: Year-end}]\n"
        + "bypass: {people: [alice]}\n"
    )
    bad, cured = (make_version(version.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9}) for _ in range(2))
    with travel(datetime(2026, 12, 1, tzinfo=UTC)):
        for each in (version, bad):
            promote(each, PRODUCTION, chief, alice, dkim)
    with travel(datetime(2026, 12, 24, tzinfo=UTC)):
        request = roll_back(chief, version.model)
        assert standing_of(request).verdict.waits_for_time
        cure = services.open_request(actor=chief, version=cured, target=PRODUCTION)
        services.bypass_request(actor=alice, review_request=cure, reason="It is cured.", seen=look_at(cure))

    with travel(datetime(2027, 1, 5, tzinfo=UTC)):
        request = services.reconsider(request)
        assert (request.state, stage_of(cured)) == (State.OPEN, "Production")
        approve(alice, request)
        assert approve(dkim, request).state == State.APPLIED


def test_other_files_never_count(version: ModelVersion, chief: User, alice: User, dkim: User) -> None:
    publish(POLICY + "reviews: {dismiss_on: []}\n")
    newer = make_version(version.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9})
    for each in (version, newer):
        promote(each, PRODUCTION, chief, alice, dkim)
    ModelVersion.objects.filter(pk=version.pk).update(digest="0" * 64)

    request = roll_back(chief, version.model)

    assert request.state == State.OPEN and "the files have changed" in standing_of(request).not_carried


def test_who_has_left_their_team_does_not_count(
    good: ModelVersion, bad: ModelVersion, chief: User, alice: User, risk: Team
) -> None:
    remove_from_team(actor=None, team=risk, users=[alice])

    assert roll_back(chief, good.model).state == State.OPEN


def test_who_is_no_longer_active_does_not_count(good: ModelVersion, bad: ModelVersion, chief: User, dkim: User) -> None:
    User.objects.filter(pk=dkim.pk).update(is_active=False)

    assert roll_back(chief, good.model).state == State.OPEN


def test_who_approved_then_and_asks_now_does_not_count(good: ModelVersion, bad: ModelVersion, alice: User) -> None:
    grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=alice, pattern="*")

    assert roll_back(alice, good.model).state == State.OPEN


def test_a_verdict_that_was_dismissed_does_not_carry(
    good: ModelVersion, bad: ModelVersion, chief: User, alice: User
) -> None:
    Review.objects.filter(reviewer=alice).update(dismissed_at=good.created_at, dismissed_reason="since then")

    assert roll_back(chief, good.model).state == State.OPEN


def test_an_objection_to_the_return_counts_for_what_was_approved_then(
    good: ModelVersion, bad: ModelVersion, sam: User, alice: User, dkim: User, admin: User
) -> None:
    request = roll_back(sam, good.model)
    judge(alice, request, "request_changes", comment="Not without a look at the drift.")

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=good, stage=Stage.PRODUCTION)
    services.mark_ready(actor=sam, review_request=request)
    approve(admin, request)

    request.refresh_from_db()
    assert request.state == State.OPEN  # what alice said then is not taken for an answer to her question
    assert approve(alice, request).state == State.APPLIED


def test_an_objection_that_was_bypassed_then_stands(
    version: ModelVersion, chief: User, alice: User, dkim: User
) -> None:
    publish(POLICY.replace("{count: 2, teams: {risk: 1, ml-leads: 1}}", "{count: 1}") + "bypass: {people: [mira]}\n")
    grant(actor=None, level=Level.MANAGE, user=alice, pattern="*")
    grant(actor=None, level=Level.MANAGE, user=dkim, pattern="*")
    request = services.open_request(actor=chief, version=version, target=PRODUCTION)
    judge(alice, request, "request_changes", comment="It drifts.")
    services.bypass_request(actor=chief, review_request=request, reason="Production is down.", seen=look_at(request))
    newer = make_version(version.model, user=chief, metrics={"accuracy": 0.96, "f1": 0.9})
    promote(newer, PRODUCTION, chief, dkim)

    assert roll_back(chief, version.model).state == State.OPEN


def test_what_got_there_without_a_request_is_asked_for_like_anything_else(
    holder: ModelVersion, good: ModelVersion, chief: User
) -> None:
    StageHolding.objects.filter(version=holder).update(request_id=None)

    request = roll_back(chief, good.model)

    assert (request.state, request.version, request.returns_to) == (State.OPEN, holder, None)


def test_who_held_nothing_before_has_nothing_to_return_to(holder: ModelVersion, chief: User) -> None:
    with pytest.raises(Conflict, match="nothing to return to"):
        roll_back(chief, holder.model)
    with pytest.raises(Conflict, match="No other version of churn-predictor held @champion before"):
        roll_back(chief, holder.model, CHAMPION)


def test_a_deleted_version_is_passed_over(
    holder: ModelVersion, good: ModelVersion, bad: ModelVersion, admin: User, chief: User
) -> None:
    registry.delete_version(actor=admin, version=good)

    assert roll_back(chief, good.model).version == holder


def test_who_may_not_read_the_model_may_not_ask(
    good: ModelVersion, bad: ModelVersion, eve: User, settings: pytest.FixtureRequest
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    with pytest.raises(NotPermitted):
        roll_back(eve, good.model)


# -- The gate asks again -----------------------------------------------------------------------------------------------


def forged(version: ModelVersion, asker: User, origin: TransitionRequest) -> TransitionRequest:
    """As a service would leave it that checks nothing."""
    request = services.open_request(actor=asker, version=version, target=PRODUCTION)
    TransitionRequest.objects.filter(pk=request.pk).update(returns_to=origin)
    return request


def test_reviews_of_another_version_never_count(good: ModelVersion, bad: ModelVersion, chief: User) -> None:
    other = make_version(good.model, user=chief, metrics={"accuracy": 0.97, "f1": 0.9})
    ModelVersion.objects.filter(pk=other.pk).update(digest=good.digest, evidence=good.evidence)
    request = forged(other, chief, TransitionRequest.objects.get(version=good))

    with pytest.raises(GateRefused, match="is not satisfied"):
        registry.move_to_stage(actor=chief, version=other, stage=Stage.PRODUCTION, permit=Permit(request.pk))


@pytest.mark.parametrize("change", [{"state": "withdrawn"}, {"target": "Staging"}])
def test_reviews_of_a_request_that_did_not_put_it_there_never_count(
    good: ModelVersion, bad: ModelVersion, chief: User, change: dict[str, str]
) -> None:
    origin = TransitionRequest.objects.get(version=good)
    TransitionRequest.objects.filter(pk=origin.pk).update(**change)
    request = forged(good, chief, origin)

    with pytest.raises(GateRefused, match="is not satisfied"):
        registry.move_to_stage(actor=chief, version=good, stage=Stage.PRODUCTION, permit=Permit(request.pk))


# -- Reading it --------------------------------------------------------------------------------------------------------


def test_many_returns_are_read_in_as_many_statements_as_one(
    good: ModelVersion, bad: ModelVersion, sam: User, eve: User
) -> None:
    requests = [roll_back(person, good.model) for person in (sam, eve)]
    rows = list(TransitionRequest.objects.filter(pk__in=[request.pk for request in requests]).with_rows())
    counts = []
    for asked in (rows[:1], rows):
        with CaptureQueriesContext(connection) as statements:
            [standing.verdict for standing in standings_of(asked)]
        counts.append(len(statements))

    assert counts[0] == counts[1]


def test_each_holder_knows_whom_it_would_return_to(
    good: ModelVersion, bad: ModelVersion, holder: ModelVersion, chief: User
) -> None:
    now = StageHolding.objects.filter(model=good.model, until=None)

    assert list(now.annotate(before=number_before()).values_list("before", flat=True)) == [good.version]


def test_a_replay_takes_what_carried_then(good: ModelVersion, bad: ModelVersion, chief: User, admin: User) -> None:
    roll_back(chief, good.model)

    found = replay(parse(POLICY), POLICY, user=admin)

    assert (found.moves, found.stopped) == (3, [])
