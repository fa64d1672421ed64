"""What somebody gains by asking for reviews, by stepping back from them, and by asking the review page for its news."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from django.test import Client
from pytest_django import Settings

from accounts.models import Level, Team, User
from approvals import services as approvals
from approvals.models import Reviewer, TransitionRequest
from approvals.services.reviewers import MOST_ASKED, REMINDED_AFTER
from approvals.standing import Standing, standing_of
from core.clock import now
from core.errors import Invalid, NotPermitted
from notifications.models import Event
from registry import services as registry
from tests.approvals.conftest import PRODUCTION, approve, judge, publish, stage_of
from tests.cast import Api, person
from tests.factories import make_version
from tests.scenes import ask, churn_predictor

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(mira: User, alice: User, dkim: User) -> TransitionRequest:
    return ask(churn_predictor(mira), mira)


def standing(review_request: TransitionRequest) -> Standing:
    return standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk))


# -- News --------------------------------------------------------------------------------------------------------------


def test_the_pulse_tells_nothing_of_an_earlier_model_of_the_name(
    mira: User, eve: User, admin: User, settings: Settings, session: Callable[[User], Client]
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    secret = registry.create_model(actor=mira, name="secret")
    version = registry.create_version(actor=mira, model=secret, source="s3://bucket/takeover")
    registry.set_version_tag(actor=mira, version=version, key="buyer", value="Initech")
    registry.delete_model(actor=admin, model=secret)
    taken = registry.create_model(actor=eve, name="secret")
    mine = registry.create_version(actor=eve, model=taken, source="s3://bucket/mine")
    review_request = approvals.open_request(actor=eve, version=mine, target=PRODUCTION)
    page = session(eve)

    pulse = page.get(f"/requests/{review_request.pk}/pulse/?at=0").content.decode()
    refused = page.post(
        f"/requests/{review_request.pk}/review/", {"decision": "approve", "seen": "old", "at": "0"}
    ).content.decode()

    for shown in (pulse, refused):
        assert "eve" in shown
        assert "mira" not in shown and "buyer" not in shown


# -- A second credential -----------------------------------------------------------------------------------------------


def test_a_service_account_does_not_bring_back_who_owns_it(
    asked: TransitionRequest, alice: User, session: Callable[[User], Client]
) -> None:
    bot = person("alices-bot", level=Level.EDIT, is_service=True, owner=alice)
    approvals.recuse(actor=alice, review_request=asked, reason="I trained it.")

    with pytest.raises(NotPermitted):
        approvals.step_in_again(actor=bot, review_request=asked)
    assert Api(bot).delete(f"requests/{asked.pk}/recusal/").status_code == 403

    asked.refresh_from_db()
    assert asked.recused == [alice.pk]


# -- Stepping back -----------------------------------------------------------------------------------------------------


def test_an_objection_of_then_stands_when_its_author_steps_back_from_the_return(
    mira: User, alice: User, dkim: User, admin: User, risk: Team
) -> None:
    """Version 2 went live by a bypass although alice objected. Returning to it brings her objection along."""
    version = churn_predictor(mira)
    publish("""\
name: production-gate
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - approvals: {count: 1, teams: {ml-leads: 1}}
  - approvals: {count: 1, teams: {risk: 1}}
bypass: {people: [admin]}
""")
    first = ask(version, mira)
    approve(dkim, first)
    judge(alice, first, "request_changes", comment="It leaks the label.")
    approvals.bypass_request(
        actor=admin, review_request=first, reason="It has to be tonight.", seen=standing(first).seen
    )
    model = version.model
    later = make_version(model, user=mira)
    approvals.bypass_request(
        actor=admin,
        review_request=(second := ask(later, mira)),
        reason="It is much better.",
        seen=standing(second).seen,
    )
    back = approvals.request_rollback(actor=mira, model=model, target=PRODUCTION, to=version.version)
    approvals.recuse(actor=alice, review_request=back)
    approve(person("rita", team=risk), back)

    assert stage_of(version) != "Production"
    assert any("alice" in sentence for sentence in standing(back).unmet)


# -- Asking ------------------------------------------------------------------------------------------------------------


def test_taking_an_ask_back_makes_no_room_to_tell_the_whole_house(asked: TransitionRequest, sam: User) -> None:
    people = [person(f"reader-{number:02}", level=Level.READ) for number in range(MOST_ASKED + 2)]
    for one in people[:MOST_ASKED]:
        approvals.ask_for_review(actor=sam, review_request=asked, person=one)
        approvals.withdraw_ask(actor=sam, review_request=asked, person=one)

    with pytest.raises(Invalid, match="20 people"):
        approvals.ask_for_review(actor=sam, review_request=asked, person=people[MOST_ASKED])

    assert Event.objects.filter(kind="reviewer.asked").count() == MOST_ASKED
    with time_machine.travel(now() + REMINDED_AFTER * 2, tick=False):
        approvals.ask_for_review(actor=sam, review_request=asked, person=people[MOST_ASKED])
        assert Reviewer.objects.filter(asked_by=sam).count() == 1
