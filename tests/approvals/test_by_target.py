"""Deciding by version and target: one word about everybody's requests for the same."""

from __future__ import annotations

import pytest

from accounts.models import Level, User
from accounts.services import grant
from approvals import services
from approvals.models import TransitionRequest
from core.clock import now
from core.errors import Conflict, NotFound, NotPermitted
from registry.models import ModelVersion
from tests.approvals.conftest import ARCHIVED, POLICY, PRODUCTION, STAGING, publish, stage_of
from tests.cast import person

State = TransitionRequest.State


@pytest.fixture
def lead(db: None) -> User:
    return person("lead", level=Level.MANAGE_PRODUCTION_VERSIONS)


def states() -> list[str]:
    return list(TransitionRequest.objects.order_by("pk").values_list("state", flat=True))


def ask(version: ModelVersion, *people: User) -> None:
    for user in people:
        services.open_request(actor=user, version=version, target=PRODUCTION)


def test_the_first_that_is_applied_closes_the_others(version: ModelVersion, mira: User, sam: User, lead: User) -> None:
    ask(version, mira, sam)
    services.open_request(actor=mira, version=version, target=STAGING)

    judged = services.review_requests_for(actor=lead, version=version, target=PRODUCTION, decision="approve")

    assert [review_request.requester for review_request in judged] == [mira]
    assert (states(), stage_of(version)) == ([State.APPLIED, State.SUPERSEDED, State.OPEN], "Production")


def test_a_rejection_is_of_all_of_them(version: ModelVersion, mira: User, sam: User, lead: User) -> None:
    ask(version, mira, sam)

    services.review_requests_for(actor=lead, version=version, target=PRODUCTION, decision="reject", comment="No.")

    assert states() == [State.REJECTED, State.REJECTED]


def test_what_was_said_about_one_already_is_said_about_the_others(
    guarded: ModelVersion, mira: User, sam: User, alice: User
) -> None:
    ask(guarded, mira)
    services.review_requests_for(actor=alice, version=guarded, target=PRODUCTION, decision="approve")
    with pytest.raises(Conflict, match="already"):
        services.review_requests_for(actor=alice, version=guarded, target=PRODUCTION, decision="approve")
    ask(guarded, sam)

    judged = services.review_requests_for(actor=alice, version=guarded, target=PRODUCTION, decision="approve")

    assert [review_request.requester for review_request in judged] == [sam]


def test_one_that_has_expired_by_then_is_not_there(version: ModelVersion, mira: User, lead: User) -> None:
    publish(POLICY.replace("match:", "reviews: {expires_after: 1d}\nmatch:"))
    ask(version, mira)
    TransitionRequest.objects.update(created_at=now().replace(year=2020))

    with pytest.raises(NotFound):
        services.review_requests_for(actor=lead, version=version, target=PRODUCTION, decision="approve")

    assert states() == [State.EXPIRED]


def test_the_level_is_asked_before_whether_there_is_anything(version: ModelVersion, sam: User, lead: User) -> None:
    with pytest.raises(NotPermitted):
        services.review_requests_for(actor=sam, version=version, target=ARCHIVED, decision="approve")
    with pytest.raises(NotFound):
        services.review_requests_for(actor=lead, version=version, target=ARCHIVED, decision="approve")


def test_a_request_is_taken_back_by_the_name_of_its_creator(
    version: ModelVersion, mira: User, sam: User, ci_bot: User, lead: User
) -> None:
    ask(version, mira, sam, ci_bot)

    def withdraw(actor: User, creator: str) -> None:
        services.withdraw_request_of(actor=actor, creator=creator, version=version, target=PRODUCTION)

    for creator in ("mira", "nobody"):
        with pytest.raises(NotPermitted):
            withdraw(lead, creator)
    withdraw(mira, "ci-bot")  # hers
    withdraw(mira, "mira")
    with pytest.raises(NotFound):
        withdraw(mira, "mira")
    grant(actor=None, level=Level.MANAGE, user=lead, pattern="*")
    withdraw(User.objects.get(pk=lead.pk), "sam")

    assert states() == [State.WITHDRAWN] * 3
