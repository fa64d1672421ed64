"""/people/: accounts, teams and grants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import Grant, Level, Team, User
from accounts.services import create_token
from tests.factories import make_user

Session = Callable[[User], Client]


def page(client: Client, address: str = "/people/") -> str:
    return client.get(address).content.decode()


def test_an_administrator_adds_people_teams_and_grants(admin: User, session: Session) -> None:
    client = session(admin)

    client.post("/people/new/", {"username": "nora", "email": "nora@example.com", "kind": "person"})
    client.post("/people/new/", {"username": "scanner", "kind": "service", "owner": "nora"})
    client.post("/teams/", {"name": "risk"})
    client.post("/teams/risk/", {"username": "nora"})
    client.post("/grants/", {"to": "team:risk", "level": "MANAGE", "pattern": "churn-*"})

    nora = User.objects.get(username="nora")
    scanner = User.objects.get(username="scanner")
    assert (scanner.is_service, scanner.owner) == (True, nora)
    assert list(Team.objects.get(name="risk").members.all()) == [nora]
    assert list(Grant.objects.values_list("team__name", "level", "pattern")) == [("risk", Level.MANAGE, "churn-*")]
    shown = page(client)
    for text in ("nora@example.com", "belongs to nora", "team risk", "churn-*", "MANAGE"):
        assert text in shown


def test_what_was_given_is_taken_back(admin: User, sam: User, risk: Team, session: Session) -> None:
    client = session(admin)
    client.post("/teams/risk/", {"username": "sam"})
    client.post("/grants/", {"to": "user:sam", "level": "EDIT", "pattern": "*"})

    client.post("/teams/risk/", {"username": "sam", "action": "remove"})
    client.post(f"/grants/{Grant.objects.get(user=sam, pattern='*').pk}/revoke/")
    client.post("/people/sam/switch/", {"to": "off"})

    sam.refresh_from_db()
    assert not risk.members.filter(pk=sam.pk).exists() and not Grant.objects.filter(user=sam, pattern="*").exists()
    assert not sam.is_active and "switched off" in page(client)
    client.post("/people/sam/switch/", {"to": "on"})
    sam.refresh_from_db()
    assert sam.is_active


def test_a_sign_in_link_is_shown_once_and_works_once(admin: User, sam: User, session: Session) -> None:
    answer = session(admin).post("/people/sam/link/")
    link = answer.content.decode().split("/sign-in/link/")[1].split("<")[0].split('"')[0].strip()

    assert "no-store" in answer["Cache-Control"]
    assert link not in page(session(admin))
    stranger, second = Client(), Client()
    for client in (stranger, second):
        client.post(f"/sign-in/link/{link}")
    assert "/reviews/" in stranger.get("/", follow=True).redirect_chain[-1][0]
    assert "/sign-in/" in second.get("/", follow=True).redirect_chain[-1][0]


def test_service_accounts_and_who_is_switched_off_get_no_link(admin: User, ci_bot: User, session: Session) -> None:
    ci_bot.owner.is_active = False
    ci_bot.owner.save()

    for name in ("ci-bot", ci_bot.owner.username):
        answer = session(admin).post(f"/people/{name}/link/", follow=True).content.decode()
        assert "sign-in/link" not in answer and "links are for people who are switched on" in answer


def test_a_refused_form_keeps_what_was_typed_and_no_other_does(admin: User, risk: Team, session: Session) -> None:
    shown = session(admin).post("/teams/risk/", {"username": "nobody-here"}).content.decode()

    assert shown.count('value="nobody-here"') == 1
    assert "There is no user nobody-here." in shown


def test_a_sign_that_no_column_takes_is_left_out(admin: User, session: Session) -> None:
    client = session(admin)

    assert client.post("/grants/", {"to": "user:a\x00b", "level": "READ", "pattern": "*"}).status_code == 422
    assert client.get("/people/?q=a%00b").status_code in (200, 400)


def test_everybody_sees_who_is_here_and_nobody_else_changes_it(
    sam: User, alice: User, risk: Team, session: Session
) -> None:
    client = session(sam)
    shown = page(client)

    assert "alice" in shown and "risk" in shown
    assert alice.email not in shown and "Grants" not in shown and "Sign-in link" not in shown
    before = (User.objects.count(), Team.objects.count(), Grant.objects.count(), risk.members.count())
    for address, form in (
        ("/people/new/", {"username": "eve2", "kind": "admin"}),
        ("/people/alice/switch/", {"to": "off"}),
        ("/people/alice/link/", {}),
        ("/teams/", {"name": "mine"}),
        ("/teams/risk/", {"username": "sam"}),
        ("/grants/", {"to": "user:sam", "level": "MANAGE", "pattern": "*"}),
        ("/grants/1/revoke/", {}),
    ):
        answer = client.post(address, form)
        assert answer.status_code == (403 if "link" in address or "revoke" in address else 422), address
        assert b"sign-in/link" not in answer.content
    assert (User.objects.count(), Team.objects.count(), Grant.objects.count(), risk.members.count()) == before


def test_addresses_are_not_found_out_by_searching(alice: User, sam: User, admin: User, session: Session) -> None:
    alice.email = "quite-another-name@example.com"
    alice.save()

    assert "alice" not in page(session(sam), "/people/?q=quite-another").split("Accounts")[1].split("Teams")[0]
    assert "alice" in page(session(admin), "/people/?q=quite-another").split("Accounts")[1].split("Teams")[0]


def test_a_token_that_may_only_read_makes_no_link(admin: User) -> None:
    _, secret = create_token(actor=None, user=admin, name="t", expires_in=timedelta(days=1), read_only=True)

    answer = Client(headers={"authorization": f"Bearer {secret}"}).post("/people/admin/link/")

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/people/new/", {"username": "a b", "kind": "person"}),
        ("/people/new/", {"username": "admin", "kind": "person"}),
        ("/people/new/", {"username": "x", "kind": "person", "owner": "admin"}),
        ("/people/new/", {"username": "x", "email": "no address"}),
        ("/teams/", {"name": "two words"}),
        ("/teams/risk/", {"username": "nobody"}),
        ("/teams/risk/", {"username": "ci-bot"}),
        ("/grants/", {"to": "sam", "level": "READ", "pattern": "*"}),
        ("/grants/", {"to": "user:nobody", "level": "READ", "pattern": "*"}),
        ("/grants/", {"to": "team:risk", "level": "ALL", "pattern": "*"}),
        ("/grants/", {"to": "team:risk", "level": "READ", "pattern": ""}),
        ("/grants/", {"to": "team:risk", "level": "NONE", "pattern": "*"}),
        ("/people/alice/switch/", {}),
        ("/people/new/", {"username": "x", "kind": "service", "owner": "ci-bot"}),
        ("/people/admin/switch/", {"to": "off"}),
    ],
)
def test_what_cannot_be_is_refused_and_kept(
    admin: User, alice: User, risk: Team, ci_bot: User, session: Session, address: str, form: dict[str, str]
) -> None:
    before = (User.objects.count(), Grant.objects.count(), risk.members.count())

    answer = session(admin).post(address, form)

    assert answer.status_code == 422
    assert (User.objects.count(), Grant.objects.count(), risk.members.count()) == before
    if value := form.get("username") or form.get("to"):
        assert value in answer.content.decode()


def test_people_are_found_and_come_in_pages(admin: User, session: Session) -> None:
    for number in range(60):
        make_user(f"person-{number:02}")
    client = session(admin)

    first = page(client)
    second = page(client, "/people/?after=person-48")

    assert "person-00" in first and "person-59" not in first and 'rel="next"' in first
    assert "person-59" in second and 'rel="next"' not in second
    assert "person-07" in page(client, "/people/?q=PERSON-07") and "person-08" not in page(client, "/people/?q=son-07")
    assert "No account matches" in page(client, "/people/?q=nobody-like-that")


def test_what_was_typed_is_shown_as_text(admin: User, session: Session) -> None:
    client = session(admin)
    client.post("/grants/", {"to": "user:admin", "level": "READ", "pattern": "<b>*"})

    refused = client.post("/grants/", {"to": "<b>", "level": "READ", "pattern": "*"}).content.decode()

    assert "<b>" not in refused and "&lt;b&gt;*" in page(client)
