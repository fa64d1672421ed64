"""Tokens, sign-in links, and the administrator of the first start."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from accounts import services
from accounts.models import SignInLink, Token, User
from core.clock import now
from core.errors import Invalid, NotPermitted, Unauthenticated
from tests.cast import named_by, token_of


def last_used(token: Token) -> object:
    return Token.objects.get(pk=token.pk).last_used_at


def test_a_token_names_its_user_in_one_statement(mira: User, django_assert_num_queries: object) -> None:
    _, secret = token_of(mira)
    named_by(secret)

    with django_assert_num_queries(1):  # type: ignore[operator]
        found = named_by(secret)
        assert found and found.user.username == "mira"


def test_a_secret_is_not_stored(mira: User) -> None:
    token, secret = token_of(mira)

    stored = " ".join(str(value) for value in Token.objects.values_list().get(pk=token.pk))
    assert secret.startswith("cs_")
    assert len(secret) > 40
    assert secret not in stored
    assert token.prefix == secret[:8]


@pytest.mark.parametrize("secret", ["", "cs_", "cs_wrong", "x", "cs_" + "a" * 10_000, "cs_\x00", "cs_é"])
def test_what_is_no_token_names_nobody(mira: User, secret: str) -> None:
    assert named_by(secret) is None


def test_a_revoked_token_is_over(mira: User) -> None:
    token, secret = token_of(mira)
    services.revoke_token(actor=mira, token=token)

    assert named_by(secret) is None


def test_a_token_ends_when_it_says(mira: User) -> None:
    _, secret = services.create_token(actor=mira, user=mira, name="ci", expires_in=timedelta(days=1))

    with time_machine.travel(now() + timedelta(hours=23)):
        assert named_by(secret)
    with time_machine.travel(now() + timedelta(hours=25)):
        assert named_by(secret) is None


def test_a_token_ends_with_its_user(mira: User) -> None:
    _, secret = token_of(mira)
    services.set_active(actor=None, user=mira, is_active=False)

    assert named_by(secret) is None


def test_a_service_account_ends_with_the_person_it_belongs_to(mira: User, ci_bot: User) -> None:
    _, secret = token_of(ci_bot)
    assert named_by(secret)

    services.set_active(actor=None, user=mira, is_active=False)

    assert named_by(secret) is None


def test_the_last_use_is_noted_once_a_minute(mira: User) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        token, secret = token_of(mira)
        named_by(secret)
    with time_machine.travel(start + timedelta(seconds=30), tick=False):
        named_by(secret)
        assert last_used(token) == start
    with time_machine.travel(start + timedelta(seconds=90), tick=False):
        named_by(secret)
        assert last_used(token) == start + timedelta(seconds=90)


def test_tokens_are_for_oneself_and_ones_service_accounts(mira: User, sam: User, ci_bot: User, admin: User) -> None:
    for actor, user in ((mira, mira), (mira, ci_bot), (admin, sam)):
        services.create_token(actor=actor, user=user, name="ci", expires_in=None)

    with pytest.raises(NotPermitted):
        services.create_token(actor=mira, user=sam, name="ci", expires_in=None)
    with pytest.raises(NotPermitted):
        services.create_token(actor=ci_bot, user=mira, name="ci", expires_in=None)
    with pytest.raises(NotPermitted):
        services.revoke_token(actor=mira, token=Token.objects.get(user=sam))


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_lifetime_has_bounds(mira: User, days: int) -> None:
    with pytest.raises(Invalid):
        services.create_token(actor=mira, user=mira, name="ci", expires_in=timedelta(days=days))


# -- Sign-in links -----------------------------------------------------------------------------------------------------


def secret_of(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def test_a_link_signs_in_once(mira: User) -> None:
    secret = secret_of(services.create_sign_in_link(actor=None, user=mira))

    assert services.user_of_sign_in_link(secret) == mira
    assert services.use_sign_in_link(secret) == mira
    assert services.user_of_sign_in_link(secret) is None
    with pytest.raises(Unauthenticated):
        services.use_sign_in_link(secret)


def test_a_link_is_good_for_a_day(mira: User) -> None:
    secret = secret_of(services.create_sign_in_link(actor=None, user=mira))

    with time_machine.travel(now() + timedelta(hours=25)), pytest.raises(Unauthenticated):
        services.use_sign_in_link(secret)


def test_a_link_ends_with_its_user(mira: User) -> None:
    secret = secret_of(services.create_sign_in_link(actor=None, user=mira))
    services.set_active(actor=None, user=mira, is_active=False)

    with pytest.raises(Unauthenticated):
        services.use_sign_in_link(secret)


def test_a_link_is_for_people_who_are_switched_on(mira: User, ci_bot: User) -> None:
    services.set_active(actor=None, user=mira, is_active=False)

    for user in (mira, ci_bot):
        with pytest.raises(Invalid, match="links are for people"):
            services.create_sign_in_link(actor=None, user=user)
    assert not SignInLink.objects.exists()


def test_a_link_is_not_stored(mira: User) -> None:
    secret = secret_of(services.create_sign_in_link(actor=None, user=mira))

    assert secret not in str(SignInLink.objects.values_list().get())


# -- The first start ---------------------------------------------------------------------------------------------------


def test_the_first_start_makes_an_administrator_once(db: None) -> None:
    made = services.bootstrap_administrator()

    assert made
    link, secret = made
    token = named_by(secret)
    assert token and token.user.is_superuser
    assert not token.user.has_usable_password()
    assert services.use_sign_in_link(secret_of(link)) == token.user
    assert services.bootstrap_administrator() is None
    assert User.objects.count() == 1
