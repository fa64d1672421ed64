"""Verdicts: who counts, what they saw, and what the last needed one does."""

from __future__ import annotations

import pytest

from accounts.models import Level, Membership, User
from accounts.services import grant
from approvals import services, tasks
from approvals.models import Comment, Review, TransitionRequest
from approvals.permissions import can_review
from approvals.standing import standing_of
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry.models import ModelVersion
from tests.approvals.conftest import POLICY, PRODUCTION, STAGING, approve, judge, look_at, publish, stage_of
from tracking.models import Run

State = TransitionRequest.State


def test_the_last_needed_approval_moves_the_version_and_archives_the_holder(
    asked: TransitionRequest, holder: ModelVersion, alice: User, dkim: User
) -> None:
    first = approve(alice, asked)
    assert first.state == State.OPEN and stage_of(asked.version) == "None"

    last = approve(dkim, asked, comment="Ship it.")

    assert last.state == State.APPLIED and last.closed_by == dkim and last.verdict is not None
    assert stage_of(asked.version) == "Production"
    assert stage_of(holder) == "Archived"


def test_the_event_says_what_pipelines_deploy(
    asked: TransitionRequest, holder: ModelVersion, mira: User, alice: User, dkim: User
) -> None:
    approve(alice, asked)
    approve(dkim, asked)

    event = Event.objects.get(kind="transition.applied")
    assert event.actor == dkim
    assert event.audience == sorted([mira.pk, alice.pk])
    assert event.data["target"] == "Production"
    assert event.data["digest"] == asked.version.digest
    assert event.data["previous_version"] == holder.version
    assert event.data["archived_versions"] == [holder.version]


def test_two_of_one_team_are_not_one_of_each(asked: TransitionRequest, alice: User, sam: User) -> None:
    Membership.objects.create(team=alice.teams.get(), user=sam)

    approve(alice, asked)
    approve(sam, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_a_person_counts_once(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked, comment="Good.")
    approve(alice, asked, comment="Really good.")

    assert Review.objects.filter(is_current=True).count() == 1
    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_saying_the_same_twice_changes_nothing_and_says_so(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)

    with pytest.raises(Conflict, match="already"):
        approve(alice, asked)

    assert Review.objects.count() == 1
    assert Event.objects.filter(kind="review.approved").count() == 1


def test_a_second_press_after_the_move_says_who_applied_it(asked: TransitionRequest, alice: User, dkim: User) -> None:
    seen = look_at(asked)
    approve(alice, asked)
    approve(dkim, asked)

    with pytest.raises(Conflict, match="already applied by"):
        approve(dkim, asked, seen=seen)

    assert Event.objects.filter(kind="transition.applied").count() == 1


def test_the_requester_does_not_approve(asked: TransitionRequest, mira: User, alice: User) -> None:
    Membership.objects.create(team=alice.teams.get(), user=mira)

    with pytest.raises(NotPermitted, match="asked for"):
        approve(mira, asked)

    assert not Review.objects.exists()


def test_the_requesters_service_account_does_not_approve(
    asked: TransitionRequest, ci_bot: User, mira: User, alice: User
) -> None:
    Membership.objects.create(team=alice.teams.get(), user=mira)
    Membership.objects.create(team=alice.teams.get(), user=ci_bot)

    with pytest.raises(NotPermitted):
        approve(ci_bot, asked)


def test_who_registered_the_version_does_not_approve(guarded: ModelVersion, sam: User, mira: User, alice: User) -> None:
    Membership.objects.create(team=alice.teams.get(), user=mira)
    request = services.open_request(actor=sam, version=guarded, target=PRODUCTION)

    with pytest.raises(NotPermitted, match="registered"):
        approve(mira, request)


def test_who_trained_the_version_does_not_approve(guarded: ModelVersion, sam: User, alice: User) -> None:
    ModelVersion.objects.filter(pk=guarded.pk).update(user=sam)
    Run.objects.filter(pk=guarded.run_id).update(user=alice)
    request = services.open_request(actor=sam, version=guarded, target=PRODUCTION)

    with pytest.raises(NotPermitted, match="trained"):
        approve(alice, request)


def test_the_author_approves_where_the_policy_says_so(
    version: ModelVersion, mira: User, alice: User, dkim: User
) -> None:
    publish(POLICY + "reviews:\n  author_may_approve: true\n")
    Membership.objects.create(team=alice.teams.get(), user=mira)
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)

    approve(mira, request)

    assert approve(dkim, request).state == State.APPLIED


def test_who_is_in_no_counting_team_is_told_why(asked: TransitionRequest, sam: User, admin: User) -> None:
    for user in (sam, admin):
        with pytest.raises(NotPermitted, match="risk"):
            approve(user, asked)


def test_a_stranger_judges_nothing(asked: TransitionRequest, eve: User, settings: pytest.FixtureRequest) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    for decision in ("approve", "request_changes", "reject"):
        with pytest.raises(NotPermitted):
            judge(eve, asked, decision, comment="Hello.")


def test_who_left_the_team_counts_no_more(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    Membership.objects.filter(user=alice).delete()

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_who_was_switched_off_counts_no_more(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_a_count_without_teams_counts_people_who_may_move_it(
    version: ModelVersion, mira: User, alice: User, sam: User, admin: User
) -> None:
    publish(POLICY.replace("{count: 2, teams: {risk: 1, ml-leads: 1}}", "{count: 1}"))
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)

    with pytest.raises(NotPermitted):
        approve(sam, request)

    assert approve(admin, request).state == State.APPLIED


def test_without_a_policy_one_approval_of_who_may_move_it_applies(
    version: ModelVersion, sam: User, admin: User
) -> None:
    request = services.open_request(actor=sam, version=version, target=STAGING)

    with pytest.raises(NotPermitted):
        approve(sam, request)

    assert approve(admin, request).state == State.APPLIED


def test_without_a_policy_one_may_approve_ones_own_request(version: ModelVersion, admin: User) -> None:
    request = services.open_request(actor=admin, version=version, target=STAGING)
    assert request.state == State.OPEN

    assert approve(admin, request).state == State.APPLIED


def test_without_a_policy_who_manages_staging_does_not_approve_production(
    version: ModelVersion, sam: User, alice: User
) -> None:
    grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, user=alice, pattern="churn-*")
    request = services.open_request(actor=sam, version=version, target=PRODUCTION)

    with pytest.raises(NotPermitted):
        approve(alice, request)


# -- Saying no ---------------------------------------------------------------------------------------------------------


def test_rejecting_closes_and_keeps_the_reason(asked: TransitionRequest, mira: User, alice: User) -> None:
    judge(alice, asked, "reject", comment="The data is from the wrong year.")

    asked.refresh_from_db()
    assert (asked.state, asked.closed_by) == (State.REJECTED, alice)
    assert asked.closed_reason == "The data is from the wrong year."
    assert asked.verdict is not None
    assert mira.pk in Event.objects.get(kind="request.rejected").audience


@pytest.mark.parametrize("decision", ["reject", "request_changes"])
def test_saying_no_needs_a_reason(asked: TransitionRequest, alice: User, decision: str) -> None:
    with pytest.raises(Invalid):
        judge(alice, asked, decision, comment="  ")

    asked.refresh_from_db()
    assert asked.state == State.OPEN and not Review.objects.exists()


def test_a_rejected_request_is_not_approved(asked: TransitionRequest, alice: User, dkim: User) -> None:
    judge(alice, asked, "reject", comment="No.")

    with pytest.raises(Conflict, match="already rejected by"):
        approve(dkim, asked)


def test_who_may_move_the_version_may_object(asked: TransitionRequest, admin: User) -> None:
    judge(admin, asked, "request_changes", comment="Wait for Monday.")

    asked.refresh_from_db()
    assert asked.state == State.NEEDS_CHANGES


def test_who_only_watches_does_not_object(asked: TransitionRequest, sam: User) -> None:
    for decision in ("reject", "request_changes"):
        with pytest.raises(NotPermitted):
            judge(sam, asked, decision, comment="No.")


def test_an_unknown_decision_is_refused(asked: TransitionRequest, alice: User) -> None:
    with pytest.raises(Invalid):
        judge(alice, asked, "maybe")


# -- What was seen -----------------------------------------------------------------------------------------------------


def log(version: ModelVersion, **metrics: float) -> None:
    """The run logs something, and the task that follows has run."""
    log_unseen(version, **metrics)
    tasks.run_changed(version.run_id)


def log_unseen(version: ModelVersion, **metrics: float) -> None:
    run = Run.objects.get(pk=version.run_id)
    run.metrics |= {key: {"value": value, "timestamp": 1, "step": 1} for key, value in metrics.items()}
    run.save()


def test_a_verdict_on_what_has_changed_meanwhile_is_refused(asked: TransitionRequest, alice: User) -> None:
    seen = look_at(asked)
    log_unseen(asked.version, accuracy=0.93)

    with pytest.raises(Conflict, match="What you saw has changed: the metrics"):
        approve(alice, asked, seen=seen)

    assert not Review.objects.exists()
    approve(alice, asked)
    assert Review.objects.count() == 1


def test_a_refused_verdict_leaves_on_record_what_has_changed(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    seen = look_at(asked)
    log_unseen(asked.version, accuracy=0.93)

    with pytest.raises(Conflict):
        approve(dkim, asked, seen=seen)

    updated = Event.objects.get(kind="request.updated")
    assert updated.data["before"]["evidence"] != updated.data["after"]["evidence"]
    assert Review.objects.get().dismissed_at is not None


def test_nonsense_in_the_place_of_what_was_seen_is_refused(asked: TransitionRequest, alice: User) -> None:
    for seen in ("", "x", "a.b.c.d", "....", "\x00"):
        with pytest.raises((Invalid, Conflict)):
            services.submit_review(actor=alice, review_request=asked, decision="approve", seen=seen)

    assert not Review.objects.exists()


def test_new_evidence_voids_an_approval_with_the_reason(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    log(asked.version, accuracy=0.93)

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN
    review = Review.objects.get(person=alice)
    assert review.dismissed_at is not None and "metrics" in review.dismissed_reason
    assert alice.pk in Event.objects.get(kind="review.dismissed").audience


def test_changed_bytes_void_an_approval(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    ModelVersion.objects.filter(pk=asked.version_id).update(digest="f" * 64)

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN
    assert "files" in Review.objects.get(person=alice).dismissed_reason


def test_a_new_policy_voids_an_approval(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    publish(POLICY.replace("0.80", "0.81"))

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN
    assert "policy" in Review.objects.get(person=alice).dismissed_reason


def test_an_approval_counts_for_nothing_before_it_is_marked_as_void(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)
    before = standing_of(TransitionRequest.objects.with_rows().get())
    ModelVersion.objects.filter(pk=asked.version_id).update(digest="f" * 64)

    now = standing_of(TransitionRequest.objects.with_rows().get())

    assert len(before.approvals) == 1 and len(now.approvals) == 0
    assert now.drift


def test_a_policy_may_keep_approvals_through_new_evidence(
    version: ModelVersion, mira: User, alice: User, dkim: User
) -> None:
    publish(POLICY + "reviews:\n  dismiss_on: [artifacts]\n")
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)
    approve(alice, request)
    log(version, accuracy=0.93)

    assert approve(dkim, request).state == State.APPLIED


def test_a_metric_that_falls_blocks_the_last_approval(asked: TransitionRequest, alice: User, dkim: User) -> None:
    log(asked.version, accuracy=0.5)
    approve(alice, asked)

    approve(dkim, asked)

    asked.refresh_from_db()
    assert asked.state == State.OPEN and stage_of(asked.version) == "None"


# -- May I? ------------------------------------------------------------------------------------------------------------


def test_the_answer_for_the_button_is_the_answer_for_the_press(
    asked: TransitionRequest, mira: User, alice: User, sam: User
) -> None:
    fresh = TransitionRequest.objects.with_rows().get()
    standing = standing_of(fresh)

    assert can_review(alice, fresh, "approve", standing)
    assert not can_review(sam, fresh, "approve", standing) and can_review(sam, fresh, "approve", standing).reason
    assert not can_review(mira, fresh, "approve", standing)


def test_the_page_knows_when_an_approval_is_the_last_one(asked: TransitionRequest, alice: User, dkim: User) -> None:
    before = standing_of(TransitionRequest.objects.with_rows().get())
    assert not before.would_apply(dkim)

    approve(alice, asked)

    after = standing_of(TransitionRequest.objects.with_rows().get())
    assert after.would_apply(dkim) and not after.would_apply(alice)


def test_anybody_who_reads_may_comment(asked: TransitionRequest, sam: User, mira: User) -> None:
    services.add_comment(actor=sam, version=asked.version, text=" Looks fine. ", review_request=asked)

    assert Comment.objects.get().text == "Looks fine."
    event = Event.objects.get(kind="comment.created")
    assert mira.pk in event.audience and event.path == f"/requests/{asked.pk}/#comment-{Comment.objects.get().pk}"


def test_an_empty_comment_is_refused(asked: TransitionRequest, sam: User) -> None:
    with pytest.raises(Invalid):
        services.add_comment(actor=sam, version=asked.version, text=" \n")


def test_a_stranger_does_not_comment(asked: TransitionRequest, eve: User, settings: pytest.FixtureRequest) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    with pytest.raises(NotFound):
        services.add_comment(actor=eve, version=asked.version, text="Hello")


def test_the_last_approval_that_says_so_decides_whether_the_holder_is_archived(
    asked: TransitionRequest, holder: ModelVersion, alice: User, dkim: User
) -> None:
    publish(POLICY.replace("alias:champion]", "alias:champion]\narchive_replaced: false"))
    seen = look_at(services.reconsider(asked))

    services.submit_review(actor=alice, review_request=asked, decision="approve", seen=seen, archive_existing=False)
    last = approve(dkim, asked)

    assert (last.archive_existing, last.state) == (False, State.APPLIED)
    assert (stage_of(asked.version), stage_of(holder)) == ("Production", "Production")
