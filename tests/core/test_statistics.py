"""What SQLite's planner goes by."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection

from core import statistics
from core.clock import now
from notifications.models import Event

pytestmark = pytest.mark.django_db


def test_a_filter_on_several_columns_goes_by_the_one_that_leaves_least() -> None:
    if connection.vendor != "sqlite":
        statistics.refresh()  # PostgreSQL gathers by itself: nothing to do
        return
    Event.objects.bulk_create(
        Event(key=uuid.uuid4(), kind="model_version.created", model_name=f"m{number}", summary="", fanned_out_at=now())
        for number in range(500)
    )

    statistics.refresh()

    asked = Event.objects.filter(kind="model_version.created", model_name="m7").order_by("-pk")
    assert "event_model_idx" in asked.explain()
