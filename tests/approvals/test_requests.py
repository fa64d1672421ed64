"""Opening, withdrawing and readying requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from time_machine import travel

from accounts.models import Level, User
from accounts.services import grant
from approvals import services
from approvals.models import Review, TransitionRequest
from core.errors import AlreadyExists, Conflict, Invalid, NotPermitted
from notifications.models import Event
from registry import services as registry
from registry.gate import Change, ChangeKind, Target
from registry.models import ModelVersion, TargetKind
from tests.approvals.conftest import ARCHIVED, CHAMPION, POLICY, PRODUCTION, STAGING, approve, judge, publish, stage_of
from tests.factories import make_version

State = TransitionRequest.State


def test_opening_pins_what_the_request_is_judged_on(
    asked: TransitionRequest, guarded: ModelVersion, holder: ModelVersion
) -> None:
    guarded.refresh_from_db()

    assert asked.state == State.OPEN
    assert asked.digest == guarded.digest != ""
    assert asked.evidence == guarded.evidence
    assert asked.baseline == holder
    assert len(asked.policy_revisions) == 1
    assert asked.from_stage == "None"


@pytest.mark.usefixtures("ticking")
def test_a_new_request_was_last_updated_when_it_was_created(guarded: ModelVersion, mira: User) -> None:
    request = services.open_request(actor=mira, version=guarded, target=PRODUCTION)

    assert request.updated_at == request.created_at


def test_who_can_see_a_version_may_ask(guarded: ModelVersion, sam: User) -> None:
    request = services.open_request(actor=sam, version=guarded, target=PRODUCTION)

    assert request.requester == sam


def test_who_cannot_see_a_version_may_not_ask(
    guarded: ModelVersion, eve: User, settings: pytest.FixtureRequest
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    with pytest.raises(NotPermitted):
        services.open_request(actor=eve, version=guarded, target=PRODUCTION)

    assert not TransitionRequest.objects.exists()


def test_asking_twice_is_refused_with_the_address_of_the_first(asked: TransitionRequest, mira: User) -> None:
    with pytest.raises(AlreadyExists, match=f"/requests/{asked.pk}/"):
        services.open_request(actor=mira, version=asked.version, target=PRODUCTION)


def test_two_people_may_ask_for_the_same(asked: TransitionRequest, sam: User) -> None:
    second = services.open_request(actor=sam, version=asked.version, target=PRODUCTION)

    assert second.pk != asked.pk


def test_one_person_may_ask_for_different_targets(asked: TransitionRequest, mira: User) -> None:
    services.open_request(actor=mira, version=asked.version, target=STAGING)
    services.open_request(actor=mira, version=asked.version, target=CHAMPION)

    assert TransitionRequest.objects.pending().count() == 3


def test_after_a_request_is_closed_one_may_ask_again(asked: TransitionRequest, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=asked)

    again = services.open_request(actor=mira, version=asked.version, target=PRODUCTION)

    assert again.state == State.OPEN


def test_the_present_stage_cannot_be_asked_for(holder: ModelVersion, mira: User) -> None:
    with pytest.raises(Invalid, match="in Production already"):
        services.open_request(actor=mira, version=holder, target=PRODUCTION)


def test_an_unknown_stage_cannot_be_asked_for(version: ModelVersion, mira: User) -> None:
    with pytest.raises(Invalid, match="no stage"):
        services.open_request(actor=mira, version=version, target=Target(TargetKind.STAGE, "Live"))


def test_an_impossible_alias_cannot_be_asked_for(version: ModelVersion, mira: User) -> None:
    with pytest.raises(Invalid):
        services.open_request(actor=mira, version=version, target=Target(TargetKind.ALIAS, "v3"))


def test_a_deleted_version_cannot_be_asked_for(guarded: ModelVersion, mira: User, admin: User) -> None:
    registry.delete_version(actor=admin, version=guarded)

    with pytest.raises(Conflict):
        services.open_request(actor=mira, version=guarded, target=PRODUCTION)


def test_too_long_a_comment_is_refused(version: ModelVersion, mira: User) -> None:
    with pytest.raises(Invalid, match="65535"):
        services.open_request(actor=mira, version=version, target=STAGING, comment="x" * 65_536)


def test_the_people_who_can_clear_it_are_told(asked: TransitionRequest, alice: User, dkim: User, sam: User) -> None:
    event = Event.objects.get(kind="request.opened")

    assert event.audience == sorted([alice.pk, dkim.pk])
    assert event.path == f"/requests/{asked.pk}/"
    assert event.request_id == asked.pk
    assert "mira" in event.summary.lower() and "Production" in event.summary


def test_without_a_policy_the_people_who_may_move_it_are_told(
    version: ModelVersion, sam: User, mira: User, admin: User
) -> None:
    grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, user=mira, pattern="churn-*")

    services.open_request(actor=sam, version=version, target=STAGING)

    assert set(Event.objects.get(kind="request.opened").audience) >= {mira.pk, admin.pk}


def test_a_request_that_lacks_nothing_is_applied_at_once(version: ModelVersion, admin: User) -> None:
    publish(POLICY.rsplit("\n  - approvals", 1)[0] + "\n")

    request = services.open_request(actor=admin, version=version, target=PRODUCTION)

    assert request.state == State.APPLIED
    assert stage_of(version) == "Production"


def test_asking_gives_nobody_the_right_to_move(version: ModelVersion, sam: User, admin: User) -> None:
    publish(POLICY.rsplit("\n  - approvals", 1)[0] + "\n")

    request = services.open_request(actor=sam, version=version, target=PRODUCTION)
    assert request.state == State.OPEN
    assert stage_of(version) == "None"

    assert approve(admin, request).state == State.APPLIED
    assert stage_of(version) == "Production"


def test_a_policy_that_only_warns_holds_no_request_back_and_applies_none_by_itself(
    version: ModelVersion, mira: User, admin: User
) -> None:
    publish(enforcement="warn")
    request = services.open_request(actor=admin, version=version, target=PRODUCTION)
    assert request.state == State.OPEN

    assert approve(admin, request).state == State.APPLIED


@pytest.mark.parametrize(
    ("policy", "asked_for", "expected"),
    [("true", False, "Archived"), ("false", True, "Archived"), ("false", False, "Production")],
)
def test_what_is_replaced_is_archived_when_the_policy_or_the_request_wants_it(
    version: ModelVersion,
    holder: ModelVersion,
    mira: User,
    alice: User,
    dkim: User,
    policy: str,
    asked_for: bool,
    expected: str,
) -> None:
    publish(archive_replaced=policy)
    request = services.open_request(actor=mira, version=version, target=PRODUCTION, archive_existing=asked_for)

    approve(alice, request)
    approve(dkim, request)

    assert stage_of(version) == "Production"
    assert stage_of(holder) == expected


# -- Withdrawing -------------------------------------------------------------------------------------------------------


def test_the_requester_withdraws(asked: TransitionRequest, mira: User) -> None:
    services.withdraw_request(actor=mira, review_request=asked, comment="Not yet.")

    asked.refresh_from_db()
    assert (asked.state, asked.closed_by, asked.closed_reason) == (State.WITHDRAWN, mira, "Not yet.")
    assert asked.verdict is not None


def test_who_manages_the_model_withdraws(asked: TransitionRequest, admin: User) -> None:
    services.withdraw_request(actor=admin, review_request=asked)

    asked.refresh_from_db()
    assert asked.state == State.WITHDRAWN


def test_nobody_else_withdraws(asked: TransitionRequest, alice: User) -> None:
    with pytest.raises(NotPermitted):
        services.withdraw_request(actor=alice, review_request=asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_a_closed_request_is_not_withdrawn(asked: TransitionRequest, mira: User, alice: User, dkim: User) -> None:
    approve(alice, asked)
    approve(dkim, asked)

    with pytest.raises(Conflict, match="already applied by"):
        services.withdraw_request(actor=mira, review_request=asked)

    asked.refresh_from_db()
    assert asked.state == State.APPLIED


# -- Changes asked for -------------------------------------------------------------------------------------------------


def test_the_requester_answers_a_call_for_changes(asked: TransitionRequest, mira: User, alice: User) -> None:
    judge(alice, asked, "request_changes", comment="Which data?")
    asked.refresh_from_db()
    assert asked.state == State.NEEDS_CHANGES

    services.mark_ready(actor=mira, review_request=asked, comment="October data.")

    asked.refresh_from_db()
    assert asked.state == State.OPEN
    assert Review.objects.get().dismissed_at is not None
    assert alice.pk in Event.objects.get(kind="request.ready").audience


def test_only_the_requester_says_ready(asked: TransitionRequest, alice: User, dkim: User) -> None:
    judge(alice, asked, "request_changes", comment="Which data?")

    with pytest.raises(NotPermitted):
        services.mark_ready(actor=dkim, review_request=asked)


def test_there_is_nothing_to_ready_while_nobody_asked_for_changes(asked: TransitionRequest, mira: User) -> None:
    with pytest.raises(Conflict, match="Nobody has asked for changes"):
        services.mark_ready(actor=mira, review_request=asked)


def test_an_approval_while_changes_are_asked_for_is_kept_and_applies_nothing(
    asked: TransitionRequest, mira: User, alice: User, dkim: User
) -> None:
    approve(dkim, asked)
    judge(alice, asked, "request_changes", comment="Which data?")

    services.mark_ready(actor=mira, review_request=asked)
    asked.refresh_from_db()
    assert asked.state == State.OPEN

    assert approve(alice, asked).state == State.APPLIED


def test_who_asked_for_changes_may_approve_after_all(asked: TransitionRequest, alice: User, dkim: User) -> None:
    judge(alice, asked, "request_changes", comment="Which data?")
    approve(dkim, asked)

    result = approve(alice, asked)

    assert result.state == State.APPLIED


# -- After a refused direct move ---------------------------------------------------------------------------------------


def test_a_refused_direct_move_can_become_a_request(version: ModelVersion, admin: User) -> None:
    publish(on_direct_change="open_request")
    change = Change(ChangeKind.MOVE_STAGE, admin, version.model, version, entering=PRODUCTION)

    request = services.request_after_refusal(change)
    again = services.request_after_refusal(change)

    assert request.state == State.OPEN and again == request


# -- Other versions ----------------------------------------------------------------------------------------------------


def test_applying_supersedes_the_other_requests_for_the_same_move(
    asked: TransitionRequest, sam: User, alice: User, dkim: User
) -> None:
    twin = services.open_request(actor=sam, version=asked.version, target=PRODUCTION)
    approve(alice, asked)

    approve(dkim, asked)

    twin.refresh_from_db()
    assert twin.state == State.SUPERSEDED
    assert f"request {asked.pk}" in twin.closed_reason


def test_applying_voids_the_approvals_of_other_versions_because_the_holder_is_another(
    asked: TransitionRequest, mira: User, alice: User, dkim: User
) -> None:
    rival = make_version(asked.version.model, user=mira, metrics={"accuracy": 0.99, "f1": 0.99})
    other = services.open_request(actor=mira, version=rival, target=PRODUCTION)
    approve(alice, other)
    approve(alice, asked)

    approve(dkim, asked)

    other.refresh_from_db()
    assert other.state == State.OPEN
    assert other.baseline == asked.version
    review = Review.objects.get(request=other)
    assert review.dismissed_at is not None and "another version" in review.dismissed_reason


def test_archived_is_asked_for_like_any_stage(version: ModelVersion, mira: User, admin: User) -> None:
    request = services.open_request(actor=mira, version=version, target=ARCHIVED)

    approve(admin, request)

    assert stage_of(version) == "Archived"


def test_every_step_is_an_event(
    asked: TransitionRequest, alice: User, dkim: User, events: Callable[[], list[str]]
) -> None:
    approve(alice, asked)
    approve(dkim, asked)

    assert events()[-4:] == ["request.opened", "review.approved", "review.approved", "transition.applied"]


# -- Expiry ------------------------------------------------------------------------------------------------------------


def test_a_request_that_nobody_decides_expires(
    asked: TransitionRequest, events: Callable[[], list[str]], alice: User
) -> None:
    publish(reviews="{expires_after: 14d}")
    later = asked.created_at + timedelta(days=14)

    with travel(later - timedelta(minutes=1), tick=False):
        assert services.reconsider(asked).state == State.OPEN
    with travel(later, tick=False):
        closed = services.reconsider(asked)

    assert (closed.state, closed.closed_by, closed.closed_at) == (State.EXPIRED, None, later)
    assert closed.closed_reason == "Nobody decided it within the 14 days that the policy production-gate gives."
    assert events()[-1] == "request.expired"
    assert asked.requester_id in Event.objects.latest("id").audience


def test_a_verdict_after_its_time_comes_too_late(asked: TransitionRequest, alice: User) -> None:
    publish(reviews="{expires_after: 12h}")

    with travel(asked.created_at + timedelta(hours=13)), pytest.raises(Conflict, match="already expired"):
        approve(alice, asked)

    asked.refresh_from_db()
    assert asked.state == State.EXPIRED and not asked.reviews.exists()


def test_the_policy_that_gives_the_least_time_decides(asked: TransitionRequest) -> None:
    publish(reviews="{expires_after: 14d}")
    publish(POLICY.replace("production-gate", "quick-gate"), reviews="{expires_after: 1d}")

    with travel(asked.created_at + timedelta(days=2)):
        assert "quick-gate" in services.reconsider(asked).closed_reason


def test_an_expired_request_may_be_asked_again(asked: TransitionRequest, mira: User) -> None:
    publish(reviews="{expires_after: 1d}")

    with travel(asked.created_at + timedelta(days=2)):
        services.reconsider(asked)
        again = services.open_request(actor=mira, version=asked.version, target=PRODUCTION)

    assert again.pk != asked.pk and again.state == State.OPEN


@pytest.mark.parametrize("enforcement", ["warn", "shadow"])
def test_a_policy_that_stops_nobody_ends_no_request(asked: TransitionRequest, enforcement: str) -> None:
    publish(POLICY.replace("production-gate", "trial"), reviews="{expires_after: 1d}", enforcement=enforcement)

    with travel(asked.created_at + timedelta(days=2)):
        assert services.reconsider(asked).state == State.OPEN


def test_saying_ready_after_its_time_ends_it(asked: TransitionRequest, mira: User, alice: User) -> None:
    judge(alice, asked, Review.Decision.REQUEST_CHANGES, comment="Why?")
    publish(reviews="{expires_after: 1d}")

    with travel(asked.created_at + timedelta(days=2)):
        assert services.mark_ready(actor=mira, review_request=asked).state == State.EXPIRED
