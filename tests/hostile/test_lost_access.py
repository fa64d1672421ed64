"""Who was shut out of a model hears no more of it."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from accounts import services as accounts
from accounts.models import Grant, Level, User
from approvals import services
from notifications.models import Event
from tests.factories import make_version
from tests.scenes import PRODUCTION

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _closed(settings: Settings) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"


def audience(kind: str) -> list[int]:
    told: list[int] = Event.objects.filter(kind=kind).latest("id").audience
    return told


def test_mail_about_a_model_ends_with_the_right_to_read_it(mira: User, sam: User, eve: User) -> None:
    version = make_version("secret", user=mira)
    accounts.grant(actor=None, level=Level.READ, user=eve, pattern="secret")
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
    services.add_comment(actor=User.objects.get(pk=eve.pk), version=version, text="Hello", review_request=asked)

    services.add_comment(actor=sam, version=version, text="Hello eve", review_request=asked)
    assert audience("comment.created") == sorted([mira.pk, eve.pk])

    Grant.objects.filter(user=eve).delete()
    services.add_comment(actor=sam, version=version, text="The takeover is on Monday", review_request=asked)
    assert audience("comment.created") == [mira.pk]


def test_a_team_that_a_policy_names_but_nobody_lets_in_is_not_told(mira: User, alice: User, sam: User) -> None:
    services.publish_policy(
        actor=None,
        text="name: gate\nmatch: {models: ['*']}\nguards: [stage:Production]\n"
        "requirements: [{approvals: {count: 1, teams: {risk: 1}}}]\n",
    )
    accounts.add_to_team(actor=None, team=alice.teams.get(), users=[sam])

    services.open_request(actor=mira, version=make_version("secret", user=mira), target=PRODUCTION)

    assert audience("request.opened") == [sam.pk]
