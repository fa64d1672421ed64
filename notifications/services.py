"""Channels and deliveries: administrators make and change channels; whoever was told may ask to be told again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.db import transaction

from accounts.models import User
from core import jobs
from core.answers import YES, Answer, no, require
from core.clock import now
from core.crypto import encrypt
from core.errors import Conflict, Invalid
from notifications.events import Announcement, record
from notifications.models import Channel, Delivery
from notifications.transports import CHECK_TARGET


@dataclass(frozen=True, kw_only=True)
class ChannelTested(Announcement):
    kind: ClassVar[str] = "channel.tested"

    channel: str

    def summary(self, actor: str) -> str:
        return f"{actor} sent this to try the channel {self.channel}. Everything works."

    @property
    def path(self) -> str:
        return "/channels/"

    def data(self) -> dict[str, Any]:
        return {"channel": self.channel}


def can_manage_channels(user: User) -> Answer:
    return YES if user.is_superuser else no("Only an administrator manages channels.")


@transaction.atomic
def create_channel(
    *, actor: User, kind: str, name: str, target: str, models_glob: str = "*", kinds: list[str] | None = None
) -> Channel:
    """A shared channel; its address is kept encrypted and never shown again."""
    require(can_manage_channels(actor))
    if kind not in Channel.Kind.values:
        raise Invalid(f"A channel is one of {', '.join(Channel.Kind.values)}.", field="kind")
    if not name.strip() or len(name) > 100:
        raise Invalid("Give the channel a name of 1 to 100 characters.", field="name")
    if not models_glob or len(models_glob) > 256:
        raise Invalid("The pattern of model names has 1 to 256 characters; * is all.", field="models_glob")
    CHECK_TARGET[kind](target.strip())
    return Channel.objects.create(
        kind=kind, name=name.strip(), target=encrypt(target.strip()), models_glob=models_glob, kinds=kinds or []
    )


@transaction.atomic
def set_channel_active(*, actor: User, channel: Channel, is_active: bool) -> None:
    require(can_manage_channels(actor))
    Channel.objects.filter(pk=channel.pk).update(is_active=is_active, disabled_reason="")


@transaction.atomic
def test_channel(*, actor: User, channel: Channel) -> Delivery:
    """Send a test message now, as a delivery like any other, so that its answer is kept."""
    require(can_manage_channels(actor))
    if not channel.is_active:
        raise Conflict("The channel is switched off: switch it on first.")
    event = record(ChannelTested(channel=channel.name), actor=actor)
    return Delivery.objects.create(event=event, channel=channel)


@transaction.atomic
def send_again(*, actor: User, delivery: Delivery) -> None:
    """Put a delivery that failed or was sent back into the queue, with the same event key."""
    require(can_manage_channels(actor) if delivery.channel.user_id != actor.pk else YES)
    again = Delivery.objects.filter(pk=delivery.pk, state__in=[Delivery.State.FAILED, Delivery.State.SENT])
    if not again.update(state=Delivery.State.PENDING, attempts=0, next_attempt_at=now(), lease_until=None):
        raise Conflict("This delivery is on its way already.")
    jobs.after_commit("notifications.tasks.drain")


