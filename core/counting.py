"""Counting no further than somebody wants to know: as quick for a million rows as for a thousand."""

from __future__ import annotations

from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery


class CountOf(Subquery):
    """How many rows a queryset has, at most as many as it is limited to."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any, Any], *, most: int) -> None:
        super().__init__(rows.order_by().values("pk")[:most])


def up_to(most: int, count: int) -> int | str:
    """A number that was counted no further than ``most``, as people read it."""
    return count if count < most else f"{most - 1:,}+"
