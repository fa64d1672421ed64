"""Every write about people leaves one event, in its transaction; what changes nothing leaves none."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from accounts import events, services
from accounts.models import Grant, Level, SignInLink, Team, Token, User
from core.announcements import Announcement
from notifications.models import Event
from registry.services import create_model
from tests.cast import token_of

EVERY = [
    (lambda at: services.create_user(actor=at.admin, username="noor"), "user.created", {"user": "noor"}),
    (
        lambda at: services.create_user(actor=at.admin, username="bot", is_service=True, owner=at.mira),
        "user.created",
        {"user": "bot", "is_service": True, "owner": "mira", "is_admin": False},
    ),
    (
        lambda at: services.set_active(actor=at.admin, user=at.mira, is_active=False),
        "user.switched_off",
        {"user": "mira"},
    ),
    (
        lambda at: services.set_active(actor=at.admin, user=at.gone, is_active=True),
        "user.switched_on",
        {"user": "gone"},
    ),
    (
        lambda at: services.create_token(actor=at.admin, user=at.mira, name="ci", expires_in=None, read_only=True),
        "token.created",
        {"user": "mira", "token": "ci", "read_only": True, "models": "*", "expires_at": None},
    ),
    (lambda at: services.revoke_token(actor=at.admin, token=at.token), "token.revoked", {"user": "mira"}),
    (lambda at: services.create_sign_in_link(actor=at.admin, user=at.mira), "sign_in_link.created", {"user": "mira"}),
    (lambda at: services.create_team(actor=at.admin, name="new"), "team.created", {"team": "new"}),
    (
        lambda at: services.add_to_team(actor=at.admin, team=at.risk, users=[at.mira]),
        "team.changed",
        {"team": "risk", "joined": ["mira"], "left": []},
    ),
    (
        lambda at: services.remove_from_team(actor=at.admin, team=at.risk, users=[at.alice]),
        "team.changed",
        {"team": "risk", "joined": [], "left": ["alice"]},
    ),
    (
        lambda at: services.grant(actor=at.admin, level=Level.MANAGE, user=at.mira, pattern="*"),
        "grant.changed",
        {"user": "mira", "team": "", "pattern": "*", "before": "EDIT", "after": "MANAGE"},
    ),
    (
        lambda at: services.revoke_grant(actor=at.admin, grant=Grant.objects.get(user=at.mira)),
        "grant.changed",
        {"user": "mira", "pattern": "*", "before": "EDIT", "after": "NONE"},
    ),
]
IDLE = [
    lambda at: services.set_active(actor=at.admin, user=at.mira, is_active=True),
    lambda at: services.add_to_team(actor=at.admin, team=at.risk, users=[at.alice]),
    lambda at: services.remove_from_team(actor=at.admin, team=at.risk, users=[at.mira]),
    lambda at: services.grant(actor=at.admin, level=Level.EDIT, user=at.mira, pattern="*"),
]


class House:
    def __init__(self, admin: User, mira: User, alice: User, risk: Team) -> None:
        self.admin, self.mira, self.alice, self.risk = admin, mira, alice, risk
        self.gone = User.objects.create(username="gone", is_active=False)
        self.token, _ = token_of(mira)


@pytest.fixture
def at(admin: User, mira: User, alice: User, risk: Team) -> House:
    return House(admin, mira, alice, risk)


@pytest.mark.parametrize(("write", "kind", "data"), EVERY)
def test_every_write_leaves_one_event_with_its_actor(
    write: Callable[[House], object], kind: str, data: dict[str, Any], at: House
) -> None:
    write(at)

    event = Event.objects.get()
    assert (event.kind, event.actor, event.summary.split()[0]) == (kind, at.admin, "admin")
    assert {key: event.data[key] for key in data} == data


@pytest.mark.parametrize("write", IDLE)
def test_what_changes_nothing_leaves_no_event(write: Callable[[House], object], at: House) -> None:
    write(at)

    assert not Event.objects.exists()


def test_a_token_that_is_revoked_twice_leaves_one_event(at: House) -> None:
    services.revoke_token(actor=at.mira, token=at.token)
    services.revoke_token(actor=at.mira, token=at.token)

    assert Event.objects.get().actor == at.mira


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("write", "kind", "data"), EVERY)
def test_a_write_whose_event_fails_has_not_happened(
    write: Callable[[House], object], kind: str, data: dict[str, Any], at: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(event: Announcement, *, actor: User | None) -> None:
        raise OSError("no room for an event")

    monkeypatch.setattr(events, "_recorder", lambda: full)
    tables = (User, Team.members.through, Team, Token, SignInLink, Grant)
    before = [list(table._default_manager.order_by("pk").values()) for table in tables]

    with pytest.raises(OSError, match="no room"):
        write(at)

    assert [list(table._default_manager.order_by("pk").values()) for table in tables] == before


def test_no_secret_is_in_an_event(at: House) -> None:
    _, secret = services.create_token(actor=at.mira, user=at.mira, name="ci", expires_in=timedelta(days=1))
    link = services.create_sign_in_link(actor=at.admin, user=at.mira)

    kept = json.dumps(list(Event.objects.values("summary", "path", "data")))
    assert Event.objects.count() == 2
    assert secret not in kept and link.rstrip("/").rpartition("/")[2] not in kept


def test_the_command_line_leaves_events_without_an_actor(mira: User) -> None:
    for command in (
        ("create_user", "noor"),
        ("team", "risk", "--add", "mira"),
        ("grant", "READ", "churn-*", "--team", "risk"),
        ("create_token", "mira"),
        ("sign_in_link", "mira"),
    ):
        call_command(*command, stdout=StringIO())

    kinds = list(Event.objects.order_by("id").values_list("kind", flat=True))
    assert kinds[0] == "user.created" and set(kinds) >= {
        "team.created",
        "team.changed",
        "grant.changed",
        "token.created",
    }
    assert not Event.objects.exclude(actor=None).exists()


def test_the_first_start_is_in_the_record(db: None) -> None:
    services.bootstrap_administrator()

    kinds = list(Event.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["user.created", "token.created", "sign_in_link.created"]


def test_who_creates_a_model_manages_it_by_that_very_event(eve: User) -> None:
    create_model(actor=eve, name="churn")

    assert Event.objects.get().kind == "registered_model.created"
    assert Grant.objects.get().level == Level.MANAGE
