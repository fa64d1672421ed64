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

    assert len(re.findall("SEARCH U0 USING INDEX event_name_taken_idx", plan)) == 3


def test_the_newest_of_all_models_are_read_by_their_numbers(sam: User) -> None:
    assert "USE TEMP B-TREE" not in events_visible_to(sam).order_by("-pk").explain()
