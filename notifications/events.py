"""Recording what happened: one row in the caller's transaction, delivered after the commit.

Every room states its own events as small subclasses of ``Announcement`` in its ``events.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import transaction

from accounts.models import User
from core import jobs
from notifications.models import Event


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """Something that happened, in the words that people and receivers get. ``kind`` is public and never renamed."""

    kind: ClassVar[str]

    model_name: str = ""
    version: int | None = None
    request_id: int | None = None

    def summary(self, actor: str) -> str:
        """One plain sentence; ``actor`` is the name of who did it."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The page to open, from the root of the site."""
        return ""

    def data(self) -> dict[str, Any]:
        """What receivers get besides model, version and request: JSON values only."""
        return {}


def record(event: Announcement, *, actor: User | None, audience: Iterable[int] = ()) -> Event:
    """Save ``event`` with the change that caused it and wake the fan-out after the commit.

    ``audience`` holds the ids of the users to be told personally; the actor is taken out. ``actor`` None is the
    system itself. Raises RuntimeError outside a transaction: an event without its change must not exist.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{event.kind} was recorded outside a transaction")
    actor_id = actor.pk if actor else None
    row = Event.objects.create(
        kind=event.kind,
        actor=actor,
        model_name=event.model_name,
        version=event.version,
        request_id=event.request_id,
        summary=event.summary(actor.display_name if actor else "Countersign"),
        path=event.path,
        data=event.data(),
        audience=sorted(set(audience) - {actor_id}),
    )
    jobs.after_commit("notifications.tasks.drain")
    return row
