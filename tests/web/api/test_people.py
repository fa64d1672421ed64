"""People, teams and grants through our own API: for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Grant, Level, Team, User
from accounts.permissions import level_on
from tests.cast import Api, person
from tests.factories import make_model


def test_an_administrator_adds_people_teams_and_grants(api: Callable[..., Api], admin: User) -> None:
    client = api(admin)

    assert client.post("users/", {"username": "noor", "email": "noor@example.com"}).status_code == 201
    assert client.post("teams/", {"name": "risk"}).json() == {"name": "risk", "members": []}
    assert client.put("teams/risk/members/noor/", {}).json()["members"] == ["noor"]
    granted = client.post("grants/", {"level": "EDIT", "pattern": "churn-*", "team": "risk"}).json()

    noor = User.objects.get(username="noor")
    assert level_on(noor, model_id=1, model_name="churn-predictor") == Level.EDIT
    assert [g["team"] for g in client.get("grants/", team="risk").json()["items"]] == ["risk"]
    assert client.delete(f"grants/{granted['id']}/").status_code == 204
    assert client.delete("teams/risk/members/noor/").json()["members"] == []


@pytest.mark.parametrize("path", ["users/", "teams/", "grants/"])
def test_nobody_else_sees_or_changes_who_is_here(api: Callable[..., Api], mira: User, path: str) -> None:
    assert api(mira).get(path).status_code == 403
    assert api(mira).post(path, {"username": "noor"}).status_code == 403
    assert not User.objects.filter(username="noor").exists()


@pytest.mark.parametrize(
    ("path", "wish", "status"),
    [
        ("users/", {"username": "a b"}, 400),
        ("users/", {"username": "noor", "email": "nowhere"}, 400),
        ("users/", {"username": "ADMIN"}, 409),
        ("users/", {"username": "noor", "owner": "admin"}, 400),
        ("teams/", {"name": "a team"}, 400),
        ("teams/", {"name": "risk"}, 409),
        ("grants/", {"level": "EDIT", "pattern": "*"}, 400),
        ("grants/", {"level": "EDIT", "pattern": "*", "user": "admin", "team": "risk"}, 400),
        ("grants/", {"level": "NONE", "pattern": "*", "user": "admin"}, 400),
        ("grants/", {"level": "EDIT", "pattern": "", "user": "admin"}, 400),
        ("grants/", {"level": "EDIT", "pattern": "*", "user": "nobody"}, 404),
    ],
)
def test_bad_input_changes_nothing(
    api: Callable[..., Api], admin: User, risk: Team, path: str, wish: dict[str, Any], status: int
) -> None:
    assert api(admin).post(path, wish).status_code == status
    assert (User.objects.count(), Team.objects.count(), Grant.objects.count()) == (1, 1, 0)


def test_who_is_switched_off_is_out_at_once(api: Callable[..., Api], admin: User, mira: User) -> None:
    client = api(mira)
    assert client.get("me/").status_code == 200

    assert api(admin).patch("users/mira/", {"is_active": False}).json()["is_active"] is False

    assert client.get("me/").status_code == 401
    assert api(admin).patch("users/admin/", {"is_active": False}).status_code == 409


def test_a_grant_on_a_model_shows_its_present_name(api: Callable[..., Api], admin: User, sam: User) -> None:
    model = make_model("churn")
    Grant.objects.create(user=sam, model_id=model.pk, level=Level.EDIT)

    shown = api(admin).get("grants/", user="sam").json()["items"][0]

    assert (shown["model"], shown["pattern"], shown["level"]) == ("churn", "", "EDIT")


@pytest.mark.parametrize("path", ["users/", "teams/", "grants/"])
def test_a_longer_list_takes_no_more_statements(
    api: Callable[..., Api], admin: User, risk: Team, django_assert_num_queries: Any, path: str
) -> None:
    client = api(admin)
    person("first", level=Level.EDIT, team=risk)
    client.get(path)
    with CaptureQueriesContext(connection) as one:
        client.get(path)

    for number in range(4):
        team = Team.objects.create(name=f"team-{number}")
        person(f"person-{number}", level=Level.EDIT, team=team)

    with django_assert_num_queries(len(one)):
        assert len(client.get(path).json()["items"]) >= 5
