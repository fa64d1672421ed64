"""Rows that come along in one column, alike on both databases."""

from __future__ import annotations

import pytest
from django.db.models import OuterRef

from accounts.models import Membership, Team, User
from core.listing import ListOf
from registry.models import FileScan

pytestmark = pytest.mark.django_db


def test_rows_come_along_with_columns_of_other_tables_too(risk: Team, alice: User, sam: User) -> None:
    Team.objects.create(name="empty")
    members = Membership.objects.filter(team=OuterRef("pk"))

    rows = Team.objects.filter(name__in=["risk", "empty"]).annotate(people=ListOf(members, "user_id", "user__username"))

    found = {team.name: sorted(team.people) for team in rows}
    assert found["empty"] == []
    assert [alice.pk, "alice"] in found["risk"]
    assert all(name != "sam" for _, name in found["risk"])


def test_what_is_json_stays_so_and_nothing_is_none(mira: User) -> None:
    findings = ['It says "no"', {"deep": [1, None, "é"]}]
    FileScan.objects.create(sha256="a" * 64, verdict="unsafe", findings=findings, reader=1)
    User.objects.filter(pk=mira.pk).update(last_name="a" * 64)

    scans = FileScan.objects.filter(sha256=OuterRef("last_name"))
    owned = User.objects.filter(pk=OuterRef("pk"))
    row = User.objects.annotate(scans=ListOf(scans, "verdict", "findings"), me=ListOf(owned, "owner_id")).get(
        pk=mira.pk
    )

    assert (row.scans, row.me) == ([["unsafe", findings]], [[None]])
