"""Asking somebody by name for a review, stepping back from one, and what changed since somebody looked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from pytest_django import Settings

from accounts.models import Grant, Level, Membership, Team, User
from approvals import services, tasks
from approvals.models import Look, Reviewer, TransitionRequest
from approvals.standing import Standing, standing_of
from core.clock import now
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry.models import ModelVersion
from tests.approvals.conftest import PRODUCTION, approve, judge, publish, stage_of
from tests.cast import person
from tests.factories import make_version

Events = Callable[[], list[str]]


def standing(review_request: TransitionRequest) -> Standing:
    return standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk))


def waits_for(user: User) -> list[int]:
    return list(TransitionRequest.objects.waiting_on(user).values_list("pk", flat=True))


def last(kind: str) -> Event:
    return Event.objects.filter(kind=kind).latest("id")


def ask(actor: User, review_request: TransitionRequest, who: User) -> Reviewer:
    return services.ask_for_review(actor=actor, review_request=review_request, person=who)


def step_back(actor: User, review_request: TransitionRequest, reason: str = "") -> Reviewer:
    return services.recuse(actor=actor, review_request=review_request, reason=reason)


# -- Asking ------------------------------------------------------------------------------------------------------------


def test_who_is_asked_is_told_and_it_waits_for_them(asked: TransitionRequest, mira: User, sam: User) -> None:
    assert waits_for(sam) == []

    ask(mira, asked, sam)

    assert waits_for(sam) == [asked.pk]
    assert last("reviewer.asked").audience == [sam.pk]
    assert "mira asked sam to review" in last("reviewer.asked").summary


def test_being_asked_makes_nobodys_verdict_count(asked: TransitionRequest, mira: User, sam: User) -> None:
    before = standing(asked).verdict.to_json()

    ask(mira, asked, sam)

    assert standing(asked).verdict.to_json() == before
    with pytest.raises(NotPermitted, match="no such team"):
        approve(sam, asked)


def test_whoever_may_comment_may_ask_and_nobody_else(
    asked: TransitionRequest, sam: User, eve: User, dkim: User, settings: Settings
) -> None:
    ask(sam, asked, dkim)
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    with pytest.raises(NotPermitted):
        ask(eve, asked, dkim)


def test_only_people_who_may_read_it_can_be_asked(
    asked: TransitionRequest, mira: User, sam: User, eve: User, ci_bot: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    gone = person("gone", level=Level.READ, is_active=False)

    for nobody, why in ((eve, "may not read"), (ci_bot, "no person"), (gone, "no person"), (mira, "asked for this")):
        with pytest.raises(NotPermitted, match=why):
            ask(sam, asked, nobody)
    assert not Reviewer.objects.exists()


def test_asking_again_reminds_once_a_day_whoever_asks(
    asked: TransitionRequest, mira: User, sam: User, dkim: User, events: Events
) -> None:
    ask(mira, asked, dkim)
    with pytest.raises(Conflict, match="once a day"):
        ask(mira, asked, dkim)
    with pytest.raises(Conflict, match="once a day"):
        ask(sam, asked, dkim)
    services.withdraw_ask(actor=mira, review_request=asked, person=dkim)
    with pytest.raises(Conflict, match="once a day"):
        ask(mira, asked, dkim)

    with time_machine.travel(now() + timedelta(days=1, minutes=1), tick=False):
        ask(sam, asked, dkim)

    assert events().count("reviewer.asked") == 2
    assert Reviewer.objects.get().asked_by == sam


def test_a_verdict_clears_it(asked: TransitionRequest, mira: User, dkim: User) -> None:
    ask(mira, asked, dkim)

    approve(dkim, asked)

    part = Reviewer.objects.get()
    assert (part.asked_by, part.asked_at) == (None, None)
    assert waits_for(dkim) == []
    with pytest.raises(Conflict, match="verdict already"):
        ask(mira, asked, dkim)


def test_who_asked_the_requester_and_who_manages_it_take_it_back(
    asked: TransitionRequest, mira: User, sam: User, dkim: User, alice: User, admin: User
) -> None:
    for number, taker in enumerate((sam, mira, admin)):
        other = person(f"reader-{number}", level=Level.READ)
        ask(sam, asked, other)
        with pytest.raises(NotPermitted):
            services.withdraw_ask(actor=alice, review_request=asked, person=other)

        services.withdraw_ask(actor=taker, review_request=asked, person=other)

        assert waits_for(other) == []
        with pytest.raises(NotFound):
            services.withdraw_ask(actor=taker, review_request=asked, person=other)


def test_so_many_are_asked_and_no_more(asked: TransitionRequest, mira: User) -> None:
    for number in range(20):
        ask(mira, asked, person(f"reader-{number}", level=Level.READ))

    with pytest.raises(Invalid, match="20 people"):
        ask(mira, asked, person("one-more", level=Level.READ))


def test_a_closed_request_asks_nobody(asked: TransitionRequest, mira: User, dkim: User) -> None:
    ask(mira, asked, dkim)
    services.withdraw_request(actor=mira, review_request=asked)

    assert waits_for(dkim) == []
    with pytest.raises(Conflict):
        ask(mira, asked, dkim)


def test_who_is_asked_is_reminded_with_the_reviewers(
    guarded: ModelVersion, mira: User, alice: User, dkim: User, sam: User
) -> None:
    publish(reviews="{remind_after: 1d}")
    asked = services.open_request(actor=mira, version=guarded, target=PRODUCTION)
    ask(mira, asked, sam)
    step_back(alice, asked)

    with time_machine.travel(now() + timedelta(days=1, minutes=1), tick=False):
        tasks.reconsider_pending()

    assert last("request.overdue").audience == sorted([dkim.pk, sam.pk])


# -- Stepping back -----------------------------------------------------------------------------------------------------


def test_who_steps_back_is_awaited_no_longer_and_named_nowhere(
    asked: TransitionRequest, mira: User, alice: User, risk: Team
) -> None:
    second = person("rita", team=risk)
    assert waits_for(alice) == [asked.pk]

    step_back(alice, asked, "I trained  the\nbaseline.")

    assert waits_for(alice) == []
    assert waits_for(second) == [asked.pk]
    node = next(node for node in standing(asked).verdict.open if node.kind == "approvals")
    assert "alice" not in node.who and "rita" in node.who
    assert Reviewer.objects.get().recused_reason == "I trained the baseline."
    assert last("reviewer.recused").audience == [mira.pk]


def test_an_approval_of_who_steps_back_counts_no_longer(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)

    step_back(alice, asked, "Conflict of interest.")

    review = asked.reviews.get()
    assert review.dismissed_reason == "alice stepped back: Conflict of interest."
    assert last("review.dismissed").actor == alice
    approve(dkim, asked)
    assert TransitionRequest.objects.get().state == "open"


def test_what_they_object_to_stands(asked: TransitionRequest, alice: User, dkim: User, risk: Team) -> None:
    rita = person("rita", team=risk)
    judge(alice, asked, "request_changes", comment="Explain the drop.")

    step_back(alice, asked)
    approve(dkim, asked)
    approve(rita, asked)

    assert stage_of(asked.version) == "None"
    assert "alice asked for changes" in standing(asked).verdict.sentence


def test_a_team_with_nobody_left_says_so_and_stays_unmet(asked: TransitionRequest, alice: User, dkim: User) -> None:
    step_back(alice, asked)
    approve(dkim, asked)

    found = standing(asked)
    assert not found.is_satisfied
    assert "Too few people in risk can approve this" in found.verdict.sentence


def test_nobody_gives_a_verdict_who_stepped_back_until_they_step_in_again(
    asked: TransitionRequest, alice: User, dkim: User
) -> None:
    approve(dkim, asked)
    step_back(alice, asked)
    for decision in ("approve", "request_changes", "reject"):
        with pytest.raises(NotPermitted, match="Step in again"):
            judge(alice, asked, decision, comment="Because.")
    with pytest.raises(Conflict):
        step_back(alice, asked)

    services.step_in_again(actor=alice, review_request=asked)

    assert waits_for(alice) == [asked.pk]
    assert last("reviewer.returned").actor == alice
    with pytest.raises(Conflict):
        services.step_in_again(actor=alice, review_request=asked)
    approve(alice, asked)
    assert stage_of(asked.version) == "Production"


def test_an_approval_that_was_withdrawn_stays_withdrawn(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    step_back(alice, asked)
    services.step_in_again(actor=alice, review_request=asked)

    approve(dkim, asked)

    assert stage_of(asked.version) == "None"


def test_who_has_no_part_has_nothing_to_step_back_from(
    asked: TransitionRequest, mira: User, sam: User, ci_bot: User
) -> None:
    for nobody in (mira, sam, ci_bot):
        with pytest.raises(NotPermitted, match="nothing to step back from"):
            step_back(nobody, asked)
    ask(mira, asked, sam)

    step_back(sam, asked)

    assert waits_for(sam) == []
    with pytest.raises(Conflict, match="stepped back"):
        ask(mira, asked, sam)


@pytest.mark.parametrize("reason", ["x" * 251, "a\x00b"])
def test_a_reason_that_is_none_is_refused(asked: TransitionRequest, alice: User, reason: str) -> None:
    with pytest.raises(Invalid):
        step_back(alice, asked, reason)


def test_who_may_move_it_steps_back_where_no_policy_asks(version: ModelVersion, mira: User, sam: User) -> None:
    mover, other = (person(name, level=Level.MANAGE_PRODUCTION_VERSIONS) for name in ("mover", "other"))
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)

    step_back(mover, asked)

    assert (waits_for(mover), waits_for(other)) == ([], [asked.pk])
    assert standing(asked).reviewers == (other.pk,)


def test_stepping_back_takes_no_requirement_away_from_a_return(
    guarded: ModelVersion, mira: User, alice: User, dkim: User, admin: User, risk: Team
) -> None:
    """Reviews of then ask for somebody of now who may move it: that stays, whoever of then steps back."""
    first = services.open_request(actor=mira, version=guarded, target=PRODUCTION)
    approve(alice, first)
    approve(dkim, first)
    second = services.open_request(
        actor=mira, version=make_version(guarded.model, user=mira, metrics={"accuracy": 0.96, "f1": 0.9}),
        target=PRODUCTION,
    )  # fmt: skip
    approve(alice, second)
    approve(dkim, second)
    sam = person("samuel", level=Level.READ)
    back = services.request_rollback(actor=sam, model=guarded.model, target=PRODUCTION, to=guarded.version)
    before = [node.kind for node in standing(back).verdict.requirements]
    assert before.count("approvals") == 2 and not standing(back).is_satisfied

    step_back(alice, back)
    step_back(dkim, back)

    found = standing(back)
    assert [node.kind for node in found.verdict.requirements] == before
    assert [node.kind for node in found.verdict.open] == ["approvals", "approvals"]
    Membership.objects.create(team=risk, user=person("rita"))
    assert not standing(back).is_satisfied


# -- Mentions ----------------------------------------------------------------------------------------------------------


def test_a_verdict_tells_whom_it_mentions(asked: TransitionRequest, alice: User, sam: User) -> None:
    approve(alice, asked, comment="Fine, if @sam tells the callers. @mira @alice")

    mention = last("request.mentioned")
    assert mention.audience == [sam.pk]  # mira hears of the approval anyway, alice wrote it
    assert mention.data["names"] == ["sam"]


def test_the_comment_of_a_request_tells_whom_it_mentions(
    guarded: ModelVersion, mira: User, alice: User, dkim: User, sam: User, eve: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    Grant.objects.create(level=Level.READ, user=alice, pattern="*")

    services.open_request(actor=mira, version=guarded, target=PRODUCTION, comment="@alice, @sam and @eve: please.")

    assert last("request.mentioned").audience == [sam.pk]  # alice is told that it waits for her, eve may not read it


def test_a_verdict_that_would_tell_too_many_is_refused(asked: TransitionRequest, alice: User) -> None:
    names = " ".join(f"@{person(f'reader-{number}').username}" for number in range(21))

    with pytest.raises(Invalid, match="at most 20"):
        approve(alice, asked, comment=names)
    assert not asked.reviews.exists()


# -- Looking -----------------------------------------------------------------------------------------------------------


def test_a_look_is_one_row_that_says_what_was_on_the_table(asked: TransitionRequest, alice: User) -> None:
    services.note_look(actor=alice, review_request=asked, pins=standing(asked).pins, at=now())
    first = Look.objects.get()
    publish(description="Another word.")
    services.note_look(actor=alice, review_request=asked, pins=standing(asked).pins, at=now())

    second = Look.objects.get()
    assert second.pk == first.pk and second.at > first.at
    assert second.policy_revisions != first.policy_revisions
