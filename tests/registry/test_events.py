"""What of the record somebody may see: by which index SQLite finds it. PostgreSQL's plans: test_plans.py."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from accounts.models import User
from registry.queries import events_visible_to

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads small tables without an index"),
]


def test_since_when_a_name_is_its_own_is_read_from_the_index_for_it(sam: User) -> None:
    plan = events_visible_to(sam).order_by("-pk").explain()

    assert len(re.findall("SEARCH U0 USING INDEX event_name_taken_idx", plan)) == 2


def test_the_newest_of_all_models_are_read_by_their_numbers(sam: User) -> None:
    assert "USE TEMP B-TREE" not in events_visible_to(sam).order_by("-pk").explain()


@pytest.mark.parametrize("fields", [{"kind": "tag.set"}, {"actor": "sam"}, {"kind": "tag.set", "actor": "sam"}])
def test_what_happened_to_a_model_is_read_by_its_name_whatever_else_is_asked(sam: User, fields: dict[str, str]) -> None:
    """A person or a kind may have a part in nearly all that happens."""
    plan = events_visible_to(sam).fitting(model="churn", **fields).order_by("-pk").explain()

    assert "SEARCH notifications_event USING INDEX event_model_idx" in plan and "TEMP B-TREE" not in plan


def test_what_a_person_did_is_read_by_who_they_are(sam: User) -> None:
    plan = events_visible_to(sam).fitting(actor="sam").order_by("-pk").explain()

    assert "SEARCH notifications_event USING INDEX event_actor_idx" in plan and "TEMP B-TREE" not in plan
