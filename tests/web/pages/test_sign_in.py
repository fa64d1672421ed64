"""Signing in, by password and by a one-time link."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts import services
from accounts.models import User

Session = Callable[[User], Client]


def with_password(user: User) -> User:
    user.set_password("correct horse battery")
    user.save()
    return user


def test_a_password_leads_to_where_one_was_going(mira: User) -> None:
    with_password(mira)
    asked = Client().get("/policies/")

    answer = Client().post(asked["Location"], {"login": "mira", "password": "correct horse battery"})

    assert asked["Location"].startswith("/sign-in/?next=")
    assert answer["Location"] == "/policies/"


def test_a_wrong_password_keeps_the_name(mira: User) -> None:
    with_password(mira)

    page = Client().post("/sign-in/", {"login": "mira", "password": "wrong"}).content.decode()

    assert 'value="mira"' in page
    assert 'class="notice notice-error"' in page


def test_an_account_that_is_switched_off_is_told_so(mira: User) -> None:
    with_password(mira)
    User.objects.filter(pk=mira.pk).update(is_active=False)

    answer = Client().post("/sign-in/", {"login": "mira", "password": "correct horse battery"})

    assert answer.status_code == 403
    assert "switched off" in answer.content.decode()


def test_a_next_page_elsewhere_is_not_followed(mira: User) -> None:
    with_password(mira)

    answer = Client().post("/sign-in/?next=//evil.example/", {"login": "mira", "password": "correct horse battery"})

    assert "evil" not in answer["Location"]


def test_a_link_signs_in_by_its_button_once(mira: User) -> None:
    link = services.create_sign_in_link(actor=None, user=mira)
    scanner, person, thief = Client(), Client(), Client()

    assert "Sign in as mira" in scanner.get(link).content.decode()
    assert person.post(link)["Location"] == "/reviews/"
    assert thief.post(link).status_code == 403
    assert person.get("/account/").status_code == 200
    assert thief.get("/account/").status_code == 302


def test_a_link_of_nobodys_making_says_so(db: None) -> None:
    assert "no longer works" in Client().get("/sign-in/link/nonsense/").content.decode()


def test_signing_out_takes_a_button(mira: User, session: Session) -> None:
    page = session(mira)

    assert page.get("/sign-out/").status_code == 200
    assert page.get("/account/").status_code == 200
    page.post("/sign-out/")
    assert page.get("/account/").status_code == 302


def test_a_password_is_set_by_who_came_by_a_link(mira: User, session: Session) -> None:
    page = session(mira)
    form = {"password1": "correct horse battery", "password2": "correct horse battery"}

    answer = page.post("/account/password/set/", form)

    assert answer["Location"] == "/account/"
    assert Client().post("/sign-in/", {"login": "mira", "password": "correct horse battery"}).status_code == 302
