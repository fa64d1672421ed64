"""The one place that asks for the time."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone

_FIRST_MS = -62_135_596_800_000 + 86_400_000  # with a day's room for other time zones
_LAST_MS = 253_402_300_799_000 - 86_400_000


def now() -> datetime:
    """The present moment, aware, UTC."""
    return timezone.now()


def now_ms() -> int:
    """Milliseconds since the epoch, as MLflow counts."""
    return to_ms(timezone.now())


def to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Clients may send any 64-bit number: what no calendar has is the first or the last moment that it has."""
    return datetime.fromtimestamp(min(max(milliseconds, _FIRST_MS), _LAST_MS) / 1000, tz=UTC)
