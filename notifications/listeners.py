"""Who is told of what unless they choose, and whether anybody waits to hear of an event: what decides if a worker is
woken for it at once.

The latter from memory a few seconds old, and asked after the commit. What a new channel should have heard meanwhile the
sweep finds, which asks the tables.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from accounts.permissions import fits
from notifications.models import Channel, Event

REMEMBERED = 5.0  # seconds

# What people are told of. A shared channel that names kinds of its own gets those instead. request.needs_changes is
# not here: it happens together with review.changes_requested, which says by whom and why.
TOLD = frozenset(
    {
        "request.opened", "request.updated", "request.rescheduled", "request.ready", "request.rejected",
        "request.withdrawn", "request.expired", "request.superseded",
        "review.approved", "review.changes_requested", "review.dismissed",
        "check.failed", "check.recovered", "comment.created", "thread.resolved", "thread.reopened",
        "transition.applied",
        "transition.bypassed", "request.overdue", "transition.rolled_back", "evidence.failed", "artifact.drifted",
        "deployment.failed",
    }
)  # fmt: skip
# What is between people: told personally to those who are named or who asked. Shared channels hear of the same remark
# or verdict by another kind.
NAMED = frozenset({"comment.mentioned", "request.mentioned", "reviewer.asked", "reviewer.recused", "reviewer.returned"})
# What administrators are told of personally; no shared channel hears of it unless it names the kind.
HOUSEKEEPING = frozenset({"channel.disabled", "delivery.failed"})


@dataclass
class _Memory:
    channels: tuple[Channel, ...] = ()  # those that hear of more than one model
    model_ids: frozenset[int | None] = frozenset()  # the models that have webhooks of their own
    good_until: float = 0.0  # in the time of time.monotonic()


_memory = _Memory()


def told_personally(event: Event) -> list[int]:
    """The ids of the people who are told, wherever else the event goes."""
    return event.audience if event.kind in TOLD | NAMED | HOUSEKEEPING else []


def hears_of_model(channel: Channel, event: Event) -> bool:
    if channel.model_id is not None:
        return event.model_id == channel.model_id
    return fits(event.model_name, channel.models_glob)


def is_awaited(event: Event) -> bool:
    """Webhooks name kinds as their form does, so each counts as waiting for all of them."""
    if told_personally(event):
        return True
    memory = _refreshed()
    return event.model_id in memory.model_ids or any(
        (channel.form or event.kind in (channel.kinds or TOLD)) and hears_of_model(channel, event)
        for channel in memory.channels
    )


def forget() -> None:
    """A channel has changed: the next question reads them again, in this process."""
    _memory.good_until = 0.0


def _refreshed() -> _Memory:
    if time.monotonic() >= _memory.good_until:
        active = Channel.objects.shared().filter(is_active=True)
        _memory.channels = tuple(active.filter(model_id=None))
        of_models = active.filter(model_id__isnull=False).order_by().values_list("model_id", flat=True)
        _memory.model_ids = frozenset(of_models.distinct())
        _memory.good_until = time.monotonic() + REMEMBERED
    return _memory
