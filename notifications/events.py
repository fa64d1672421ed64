"""Recording what happened: one row in the caller's transaction, delivered after the commit.

Every room states its own events as small subclasses of ``Announcement`` in its ``events.py``; those of this room, about
channels and deliveries, stand at the end. docs/events.md lists all of them for the people who receive them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import transaction
from django.urls import reverse

from accounts.models import User
from core import jobs
from core.announcements import Announcement
from core.errors import Invalid
from core.prepared import add
from notifications import listeners
from notifications.models import Event

DRAIN = "notifications.tasks.drain"


def record(event: Announcement, *, actor: User | None, audience: Iterable[int] = ()) -> Event:
    """Save ``event`` with the change that caused it and, after the commit, wake the fan-out if somebody waits to hear
    of it (``listeners``); else the sweep finds it.

    ``audience`` holds the ids of the users to be told personally; the actor is taken out. ``actor`` None is the
    system itself. The row that is returned has no number yet. Raises RuntimeError outside a transaction: an event
    without its change must not exist.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{event.kind} was recorded outside a transaction")
    row = event_of(event, actor=actor)
    row.audience = sorted(set(audience) - {row.actor_id})
    add(row)
    if isinstance(event, ChannelAnnouncement):
        transaction.on_commit(listeners.forget)
    jobs.wake_after_commit(DRAIN, when=lambda: listeners.is_awaited(row))
    return row


def event_of(event: Announcement, *, actor: User | None) -> Event:
    """The row of what may happen, or is about to; nothing is saved."""
    return Event(
        kind=event.kind,
        actor=actor,
        model_name=event.model_name,
        model_id=event.model_id,
        version=event.version,
        request_id=event.request_id,
        summary=event.summary(actor.display_name if actor else "Countersign"),
        path=event.path,
        data=event.data(),
    )


def known_kinds() -> frozenset[str]:
    """Every kind that some room announces."""
    found, waiting = set(), [Announcement]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found |= {subclass.kind for subclass in subclasses if "kind" in vars(subclass)}
        waiting += subclasses
    return frozenset(found)


def checked_kinds(kinds: Iterable[str]) -> list[str]:
    chosen = sorted(set(kinds))
    if unknown := [kind for kind in chosen if kind not in known_kinds()]:
        raise Invalid(f"There is no event kind {unknown[0][:64]!r}. docs/events.md lists them.", field="kinds")
    return chosen


@dataclass(frozen=True, kw_only=True)
class ChannelAnnouncement(Announcement):
    channel: str

    @property
    def path(self) -> str:
        return reverse("channels")

    def data(self) -> dict[str, Any]:
        return {"channel": self.channel}


@dataclass(frozen=True, kw_only=True)
class ChannelCreated(ChannelAnnouncement):
    kind: ClassVar[str] = "channel.created"

    transport: str

    def summary(self, actor: str) -> str:
        return f"{actor} added the {self.transport} channel {self.channel}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"transport": self.transport}


@dataclass(frozen=True, kw_only=True)
class ChannelUpdated(ChannelAnnouncement):
    """``changed`` names the fields, never what they hold: one of them is a secret."""

    kind: ClassVar[str] = "channel.updated"

    changed: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return f"{actor} changed the channel {self.channel}: {', '.join(self.changed)}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"changed": list(self.changed)}


@dataclass(frozen=True, kw_only=True)
class ChannelDeleted(ChannelAnnouncement):
    kind: ClassVar[str] = "channel.deleted"

    transport: str

    def summary(self, actor: str) -> str:
        return f"{actor} deleted the {self.transport} channel {self.channel}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"transport": self.transport}


@dataclass(frozen=True, kw_only=True)
class ChannelEnabled(ChannelAnnouncement):
    kind: ClassVar[str] = "channel.enabled"

    def summary(self, actor: str) -> str:
        return f"{actor} switched the channel {self.channel} on."


@dataclass(frozen=True, kw_only=True)
class ChannelDisabled(ChannelAnnouncement):
    """By a person, or by Countersign when nothing gets through any more; ``reason`` is the last answer."""

    kind: ClassVar[str] = "channel.disabled"

    reason: str = ""

    def summary(self, actor: str) -> str:
        return f"{actor} switched the channel {self.channel} off{f': {self.reason}' if self.reason else '.'}"

    def data(self) -> dict[str, Any]:
        return super().data() | {"reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class ChannelTested(ChannelAnnouncement):
    """``example`` names the event that a webhook is sent as if it had happened, in the words of its form."""

    kind: ClassVar[str] = "channel.tested"

    example: str = ""

    def summary(self, actor: str) -> str:
        return f"{actor} tries the channel {self.channel}. You read this, so it works."

    def data(self) -> dict[str, Any]:
        return super().data() | ({"example": self.example} if self.example else {})


@dataclass(frozen=True, kw_only=True)
class DeliveryFailed(ChannelAnnouncement):
    """The last try of a delivery failed: the first of its channel since something got through."""

    kind: ClassVar[str] = "delivery.failed"

    event_key: str
    event_kind: str
    reason: str

    def summary(self, actor: str) -> str:
        return f"A message ({self.event_kind}) could not be delivered to the channel {self.channel}: {self.reason}"

    @property
    def path(self) -> str:
        return f"{reverse('deliveries')}?state=failed"

    def data(self) -> dict[str, Any]:
        return super().data() | {"event_key": self.event_key, "event_kind": self.event_kind, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class DeliverySentAgain(ChannelAnnouncement):
    kind: ClassVar[str] = "delivery.sent_again"

    event_key: str

    def summary(self, actor: str) -> str:
        return f"{actor} had a message sent to the channel {self.channel} again."

    @property
    def path(self) -> str:
        return reverse("deliveries")

    def data(self) -> dict[str, Any]:
        return super().data() | {"event_key": self.event_key}
