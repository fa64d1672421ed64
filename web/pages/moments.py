"""What a field for date and time sends: without a zone, as its label says that it is UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

from core.errors import Invalid


def moment_of(text: str, *, field: str = "not_before") -> datetime | None:
    """None where nothing was typed."""
    if not text.strip():
        return None
    try:
        typed = parse_datetime(text.strip())
        if typed is not None:
            return typed.astimezone(UTC) if typed.tzinfo else typed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid("Write date and time as in 2026-05-03T14:00.", field=field)
