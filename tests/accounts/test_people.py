"""People, teams and grants."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import services
from accounts.models import Grant, Level, Membership, Team, User
from accounts.permissions import level_on
from core.errors import AlreadyExists, Conflict, CountersignError, Invalid, NotFound, NotPermitted
from tests.cast import named_by, person


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue().strip()


def level(user: User, name: str = "churn-predictor", model_id: int = 1) -> Level:
    return level_on(User.objects.get(pk=user.pk), model_id=model_id, model_name=name)


# -- People ------------------------------------------------------------------------------------------------------------


def test_a_new_person_has_no_password(admin: User) -> None:
    noor = services.create_user(actor=admin, username="noor", email="noor@example.com")

    assert not noor.has_usable_password()
    assert not noor.is_superuser


@pytest.mark.parametrize(
    "username",
    ["", "a b", "a/b", "a\u200bb", "a\u202eb", "a\x00b", "<b>", "x" * 151, "a\n"],
)
def test_a_name_that_misleads_is_refused(db: None, username: str) -> None:
    with pytest.raises(Invalid):
        services.create_user(actor=None, username=username)
    assert not User.objects.exists()


@pytest.mark.parametrize("username", ["mira", "Mira", "ｍｉｒａ"])
def test_a_name_that_looks_like_another_is_taken(mira: User, username: str) -> None:
    with pytest.raises(AlreadyExists):
        services.create_user(actor=None, username=username)


@pytest.mark.parametrize(
    ("email", "error"), [("nowhere", Invalid), ("MIRA@example.com", AlreadyExists), ("a@b\nc", Invalid)]
)
def test_an_address_is_one_and_of_one_person(mira: User, email: str, error: type[CountersignError]) -> None:
    with pytest.raises(error):
        services.create_user(actor=None, username="noor", email=email)


def test_only_a_service_account_has_an_owner(mira: User) -> None:
    with pytest.raises(Invalid):
        services.create_user(actor=None, username="noor", owner=mira)

    bot = services.create_user(actor=None, username="bot", is_service=True, owner=mira)
    assert bot.person_id == mira.pk


def test_only_an_administrator_adds_people_teams_and_grants(mira: User, risk: Team) -> None:
    calls = (
        lambda: services.create_user(actor=mira, username="noor"),
        lambda: services.create_team(actor=mira, name="others"),
        lambda: services.add_to_team(actor=mira, team=risk, users=[mira]),
        lambda: services.remove_from_team(actor=mira, team=risk, users=[mira]),
        lambda: services.grant(actor=mira, level=Level.MANAGE, user=mira, pattern="*"),
        lambda: services.revoke_grant(actor=mira, grant=Grant.objects.get()),
        lambda: services.set_active(actor=mira, user=mira, is_active=False),
    )

    for call in calls:
        with pytest.raises(NotPermitted):
            call()


def test_an_administrator_who_is_switched_off_administers_nothing(admin: User) -> None:
    services.set_active(actor=None, user=admin, is_active=False)

    with pytest.raises(NotPermitted):
        services.create_user(actor=admin, username="noor")


# -- Teams and grants --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["admins", "Admins"])
def test_no_team_is_called_as_doors_call_the_administrators(name: str, admin: User) -> None:
    with pytest.raises(Invalid, match="choose another name"):
        services.create_team(actor=admin, name=name)


def test_a_service_account_joins_no_team(risk: Team, ci_bot: User) -> None:
    with pytest.raises(Conflict):
        services.add_to_team(actor=None, team=risk, users=[ci_bot])
    assert not Membership.objects.exists()


def test_joining_twice_is_joining_once(risk: Team, sam: User) -> None:
    services.add_to_team(actor=None, team=risk, users=[sam])
    services.add_to_team(actor=None, team=risk, users=[sam])

    assert risk.members.count() == 1


def test_the_highest_of_all_grants_counts(risk: Team, settings: object) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]
    noor = person("noor", team=risk)
    assert level(noor) == Level.NONE

    services.grant(actor=None, level=Level.READ, user=noor, pattern="*")
    services.grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, team=risk, pattern="churn-*")
    services.grant(actor=None, level=Level.EDIT, user=noor, model_id=7)

    assert level(noor) == Level.MANAGE_STAGING_VERSIONS
    assert level(noor, "fraud") == Level.READ
    assert level(noor, "fraud", 7) == Level.EDIT


def test_granting_again_replaces(sam: User) -> None:
    services.grant(actor=None, level=Level.MANAGE, user=sam, pattern="*")
    services.grant(actor=None, level=Level.EDIT, user=sam, pattern="*")

    assert level(sam) == Level.EDIT
    assert Grant.objects.count() == 1


@pytest.mark.parametrize(
    ("pattern", "name", "reaches"),
    [("churn-*", "churn-a", True), ("churn-*", "Churn-a", False), ("churn-?", "churn-ab", False), ("[abc]", "a", False),
     ("[abc]", "[abc]", True), ("*", "anything", True), ("churn", "churn-a", False)],
)  # fmt: skip
def test_only_star_and_question_mark_are_special(eve: User, pattern: str, name: str, reaches: bool) -> None:
    services.grant(actor=None, level=Level.EDIT, user=eve, pattern=pattern)

    assert (level(eve, name) == Level.EDIT) is reaches


def test_who_is_switched_off_has_no_level(admin: User, mira: User) -> None:
    for user in (admin, mira):
        services.set_active(actor=None, user=user, is_active=False)

        assert level(user) == Level.NONE


def test_an_auditor_reads_everything(eve: User, settings: object) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]
    User.objects.filter(pk=eve.pk).update(is_auditor=True)

    assert level(eve) == Level.READ


@pytest.mark.parametrize("wish", [{}, {"pattern": "*", "model_id": 1}, {"pattern": "x" * 257}, {"pattern": "a\x00"}])
def test_a_grant_is_on_one_thing(sam: User, wish: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        services.grant(actor=None, level=Level.EDIT, user=sam, **wish)  # type: ignore[arg-type]


def test_a_grant_is_to_one_holder(sam: User, risk: Team) -> None:
    with pytest.raises(Invalid):
        services.grant(actor=None, level=Level.EDIT, user=sam, team=risk, pattern="*")
    with pytest.raises(Invalid):
        services.grant(actor=None, level=Level.EDIT, pattern="*")


# -- The command line --------------------------------------------------------------------------------------------------


def test_the_commands_make_people_teams_grants_and_tokens(db: None) -> None:
    link = run("create_user", "noor", "--email", "noor@example.com")
    run("create_user", "bot", "--service")
    run("team", "risk", "--add", "noor")
    run("grant", "EDIT", "churn-*", "--team", "risk")
    secret = run("create_token", "bot", "--days", "1")

    noor = User.objects.get(username="noor")
    assert "/sign-in/link/" in link
    assert level(noor) == Level.EDIT
    assert named_by(secret).user.username == "bot"  # type: ignore[union-attr]
    assert "/sign-in/link/" in run("sign_in_link", "noor")
    assert run("team", "risk", "--remove", "noor") == "risk: nobody"


@pytest.mark.parametrize(
    "command",
    [
        ("create_token", "nobody"),
        ("create_token", "sam", "--days", "-1"),
        ("create_token", "sam", "--days", "99999999999"),
        ("create_user", "sam"),
        ("create_user", "a b"),
        ("team", "a team"),
        ("team", "risk", "--add", "nobody"),
        ("grant", "EDIT", "*", "--team", "nobody"),
        ("grant", "EDIT", "", "--user", "sam"),
        ("sign_in_link", "nobody"),
    ],
)
def test_a_command_that_cannot_be_followed_says_so(sam: User, command: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refusal:
        run(*command)

    assert str(refusal.value).endswith((".", "risk", "nobody --add USER", "create_user nobody", "USER"))
    assert User.objects.count() == 1
    assert Team.objects.count() == 0 or command[0] == "team"


def test_who_is_not_there_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        services.find_user("nobody")
