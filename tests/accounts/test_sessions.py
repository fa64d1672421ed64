"""Who is signed in at a browser: the session, found with whose it is in one statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    login,
    logout,
    update_session_auth_hash,
)
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import Client

from accounts import services
from accounts.models import EVERY_MODEL, Level, Session, User
from accounts.permissions import grants_of
from accounts.sessions import SessionStore, user_of
from core.clock import now

pytestmark = pytest.mark.django_db

SignedIn = Callable[[User], Client]
NOBODY = AnonymousUser()
LONG = timedelta(seconds=settings.SESSION_COOKIE_AGE)


def request_with(key: str | None, method: str = "GET") -> HttpRequest:
    request = HttpRequest()
    request.method, request.session = method, SessionStore(key)
    return request


def key_of(user: User) -> str:
    """The key that the browser of somebody who has just signed in gets."""
    request = request_with(None)
    login(request, user)
    request.session.save()
    return str(request.session.session_key)


def asked_by(key: str) -> User | AnonymousUser:
    """Whom the next request with this key is taken for."""
    return user_of(request_with(key))


def test_a_session_and_whose_it_is_are_one_statement(mira: User, django_assert_num_queries: Any) -> None:
    key = key_of(mira)
    asked_by(key)

    with django_assert_num_queries(1):
        found = asked_by(key)
        assert (found.username, found.is_authenticated) == ("mira", True)


def test_signing_in_writes_whose_the_session_is_and_changes_its_key(mira: User) -> None:
    request = request_with(None)
    request.session["seen"] = "before"
    request.session.save()
    before = request.session.session_key
    assert Session.objects.get().user is None

    login(request, mira)
    request.session.save()

    row = Session.objects.get()
    assert (row.user, row.pk == before, row.get_decoded()["seen"]) == (mira, False, "before")
    assert asked_by(row.pk) == mira
    assert asked_by(str(before)) == NOBODY


def test_who_signs_in_where_somebody_else_was_begins_anew(mira: User, dkim: User) -> None:
    key = key_of(mira)
    request = request_with(key)
    request.session["seen"] = "by mira"
    request.session.save()

    login(request, dkim)
    request.session.save()

    row = Session.objects.get()
    assert (row.user, row.pk == key, "seen" in row.get_decoded()) == (dkim, False, False)
    assert (asked_by(row.pk), asked_by(key)) == (dkim, NOBODY)


def test_signing_out_leaves_nothing(mira: User) -> None:
    key = key_of(mira)
    request = request_with(key)
    assert user_of(request) == mira

    logout(request)

    assert not Session.objects.exists()
    assert (user_of(request), asked_by(key)) == (NOBODY, NOBODY)


def test_an_expired_session_is_nobodys_and_goes_when_somebody_signs_in(mira: User, dkim: User) -> None:
    key = key_of(mira)

    with time_machine.travel(now() + LONG - timedelta(minutes=1)):
        assert asked_by(key) == mira
    with time_machine.travel(now() + LONG + timedelta(minutes=1)):
        assert asked_by(key) == NOBODY
        other = key_of(dkim)
        assert [row.pk for row in Session.objects.all()] == [other]


def test_who_is_switched_off_is_nobody_at_once_and_back_when_switched_on(mira: User) -> None:
    key = key_of(mira)

    services.set_active(actor=None, user=mira, is_active=False)
    assert asked_by(key) == NOBODY
    services.set_active(actor=None, user=mira, is_active=True)
    assert asked_by(key) == mira


def test_the_session_goes_with_its_user(mira: User) -> None:
    key = key_of(mira)

    User.objects.filter(pk=mira.pk).delete()

    assert (asked_by(key), Session.objects.count()) == (NOBODY, 0)


def test_a_session_that_names_somebody_who_is_gone_is_nobodys(mira: User) -> None:
    key = key_of(mira)
    Session.objects.update(user=None)

    User.objects.filter(pk=mira.pk).delete()

    assert asked_by(key) == NOBODY


def test_a_changed_password_ends_every_other_session(mira: User) -> None:
    here, elsewhere = key_of(mira), key_of(mira)
    request = request_with(here)
    request.user = user_of(request)

    mira.set_password("correct horse battery")
    mira.save()
    update_session_auth_hash(request, mira)
    request.session.save()

    assert asked_by(elsewhere) == NOBODY
    assert asked_by(str(request.session.session_key)) == mira
    assert [row.user for row in Session.objects.all()] == [mira]


@pytest.mark.parametrize("whose", ["dkim", None])
def test_what_is_signed_decides_and_not_whose_the_row_says_it_is(sam: User, dkim: User, whose: str | None) -> None:
    services.grant(actor=None, level=Level.EDIT, user=dkim, pattern="of-dkim")
    key = key_of(sam)

    Session.objects.update(user=dkim if whose else None)

    assert (asked_by(key), granted(asked_by(key))) == (sam, [])


BACKEND = settings.AUTHENTICATION_BACKENDS[0]


@pytest.mark.parametrize(
    "held", [{}, {BACKEND_SESSION_KEY: BACKEND}, {BACKEND_SESSION_KEY: BACKEND, HASH_SESSION_KEY: "x"}]
)
def test_a_session_without_the_password_of_its_user_opens_nothing(mira: User, held: dict[str, str]) -> None:
    key = key_of(mira)

    Session.objects.update(session_data=SessionStore().encode({SESSION_KEY: str(mira.pk), **held}))

    assert asked_by(key) == NOBODY


@pytest.mark.parametrize("signature", ["", "x", "A" * 43])
def test_a_session_that_we_did_not_sign_opens_nothing(mira: User, signature: str) -> None:
    key = key_of(mira)
    data, _, _ = Session.objects.get().session_data.rpartition(":")

    Session.objects.update(session_data=f"{data}:{signature}")

    assert asked_by(key) == NOBODY


def test_a_session_of_nobody_keeps_what_it_holds(db: None, django_assert_num_queries: Any) -> None:
    request = request_with(None)
    request.session["seen"] = "once"
    request.session.save()
    again = request_with(request.session.session_key)

    with django_assert_num_queries(1):
        assert user_of(again) == NOBODY
        assert again.session["seen"] == "once"


@pytest.mark.parametrize("key", ["", "short", "x" * 32, "\x00" * 32, "é" * 32, "a b c d e f g h", "'" * 32])
def test_a_key_that_nobody_was_given_is_nobodys(mira: User, key: str) -> None:
    key_of(mira)

    assert asked_by(key) == NOBODY


def test_nobody_is_taken_for_whom_the_request_before_was(mira: User, dkim: User, session: SignedIn) -> None:
    """One thread answers them all."""
    browsers = {"mira": session(mira), "dkim": session(dkim)}

    for name in ("mira", "dkim", "mira"):
        assert browsers[name].get("/api/v1/me/").json()["username"] == name
        assert Client().get("/api/v1/me/").status_code == 401


def test_a_revoked_right_counts_for_the_next_request(mira: User, session: SignedIn) -> None:
    User.objects.filter(pk=mira.pk).update(is_superuser=True)
    browser = session(mira)
    assert browser.get("/api/v1/me/").json()["is_admin"] is True

    User.objects.filter(pk=mira.pk).update(is_superuser=False)

    assert browser.get("/api/v1/me/").json()["is_admin"] is False


def granted(user: User | AnonymousUser) -> list[tuple[str, int | None, int]]:
    """Besides what the whole cast is."""
    assert isinstance(user, User)
    rows = [(grant.pattern, grant.model_id, grant.level) for grant in grants_of(user) if grant.pattern != EVERY_MODEL]
    return sorted(rows)


def test_what_somebody_and_their_teams_were_granted_comes_along(
    eve: User, alice: User, sam: User, django_assert_num_queries: Any
) -> None:
    team = alice.teams.get()
    services.grant(actor=None, level=Level.MANAGE, user=alice, model_id=7)
    services.grant(actor=None, level=Level.EDIT, user=alice, pattern="churn-*")
    services.grant(actor=None, level=Level.READ, team=team, pattern='a "b" \\ é*')
    services.grant(actor=None, level=Level.READ, team=services.create_team(actor=None, name="others"), pattern="no")
    services.grant(actor=None, level=Level.EDIT, user=eve, pattern="of-eve")
    keys = {user.username: key_of(user) for user in (alice, eve, sam)}
    expected = {user.username: granted(User.objects.get(pk=user.pk)) for user in (alice, eve, sam)}

    with django_assert_num_queries(3):
        found = {name: granted(asked_by(key)) for name, key in keys.items()}

    assert found == expected
    assert len(found["alice"]) == 3
    assert (found["eve"], found["sam"]) == ([("of-eve", None, Level.EDIT)], [])


def test_a_grant_counts_and_ends_with_the_next_request(sam: User) -> None:
    key = key_of(sam)
    assert granted(asked_by(key)) == []

    services.grant(actor=None, level=Level.EDIT, user=sam, pattern="churn-*")
    assert granted(asked_by(key)) == [("churn-*", None, Level.EDIT)]

    services.change_grants(actor=None, levels={sam: None}, pattern="churn-*")
    assert granted(asked_by(key)) == []


def test_whoever_changes_something_is_asked_for_their_grants_in_the_midst_of_it(sam: User) -> None:
    services.grant(actor=None, level=Level.EDIT, user=sam, pattern="churn-*")
    user = user_of(request_with(key_of(sam), "POST"))

    services.change_grants(actor=None, levels={sam: None}, pattern="churn-*")

    assert granted(user) == []
