"""Channels and deliveries: administrators make and change channels; whoever was told may ask to be told again."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from accounts.models import User
from core.answers import YES, Answer, no, require
from core.clock import now
from core.crypto import encrypt
from core.errors import Conflict, Invalid
from notifications.events import (
    ChannelCreated,
    ChannelDisabled,
    ChannelEnabled,
    ChannelTested,
    ChannelUpdated,
    DeliverySentAgain,
    known_kinds,
    record,
)
from notifications.models import Channel, Delivery
from notifications.transports import CHECK_TARGET

LONGEST_TARGET = 2000


def can_manage_channels(user: User) -> Answer:
    return YES if user.is_active and user.is_superuser else no("Only an administrator manages channels.")


def can_send_again(user: User, delivery: Delivery) -> Answer:
    """Administrators, and people for what was sent to themselves."""
    if delivery.channel.user_id is not None and delivery.channel.user_id == user.pk and user.is_active:
        return YES
    return can_manage_channels(user)


@transaction.atomic
def create_channel(
    *, actor: User, kind: str, name: str, target: str, models_glob: str = "*", kinds: Iterable[str] = ()
) -> Channel:
    """A shared channel; its address is kept encrypted and never shown again."""
    require(can_manage_channels(actor))
    if kind not in Channel.Kind.values:
        raise Invalid(f"A channel is one of {', '.join(Channel.Kind.values)}.", field="kind")
    channel = Channel.objects.create(
        kind=kind,
        name=_checked_name(name),
        target=_checked_target(kind, target),
        models_glob=_checked_glob(models_glob),
        kinds=_checked_kinds(kinds),
    )
    record(ChannelCreated(channel=channel.name, transport=channel.get_kind_display()), actor=actor)
    return channel


@transaction.atomic
def update_channel(
    *,
    actor: User,
    channel: Channel,
    name: str | None = None,
    target: str | None = None,
    models_glob: str | None = None,
    kinds: Iterable[str] | None = None,
) -> Channel:
    """Change what is given. A new address is as secret as the old one."""
    require(can_manage_channels(actor))
    locked = _shared(channel)
    changes: dict[str, object] = {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if target is not None:
        changes["target"] = _checked_target(locked.kind, target)
    if models_glob is not None:
        changes["models_glob"] = _checked_glob(models_glob)
    if kinds is not None:
        changes["kinds"] = _checked_kinds(kinds)
    changed = tuple(field for field, value in changes.items() if getattr(locked, field) != value)
    if changed:
        for field in changed:
            setattr(locked, field, changes[field])
        locked.save(update_fields=changed)
        record(ChannelUpdated(channel=locked.name, changed=changed), actor=actor)
    return locked


@transaction.atomic
def set_channel_active(*, actor: User, channel: Channel, is_active: bool) -> None:
    """Switch it off, or on again; nothing happens when it is so already."""
    require(can_manage_channels(actor))
    locked = _shared(channel)
    if locked.is_active == is_active:
        return
    Channel.objects.filter(pk=locked.pk).update(is_active=is_active, disabled_reason="")
    event = ChannelEnabled(channel=locked.name) if is_active else ChannelDisabled(channel=locked.name)
    record(event, actor=actor)


@transaction.atomic
def test_channel(*, actor: User, channel: Channel) -> Delivery:
    """Send a test message now, as a delivery like any other, so that its answer is kept."""
    require(can_manage_channels(actor))
    locked = _shared(channel)
    if not locked.is_active:
        raise Conflict("The channel is switched off: switch it on first.")
    event = record(ChannelTested(channel=locked.name), actor=actor)
    return Delivery.objects.create(event=event, channel=locked)


@transaction.atomic
def send_again(*, actor: User, delivery: Delivery) -> None:
    """Put a delivery that failed or was sent back into the queue, with the same event key."""
    require(can_send_again(actor, delivery))
    if not Channel.objects.filter(pk=delivery.channel_id, is_active=True).exists():
        raise Conflict("The channel is switched off: switch it on first.")
    again = Delivery.objects.filter(pk=delivery.pk, state__in=[Delivery.State.FAILED, Delivery.State.SENT])
    if not again.update(state=Delivery.State.PENDING, attempts=0, next_attempt_at=now(), lease=None, lease_until=None):
        raise Conflict("This delivery is on its way already.")
    record(DeliverySentAgain(channel=delivery.channel.name, event_key=str(delivery.event.key)), actor=actor)


def _shared(channel: Channel) -> Channel:
    """The present row of a shared channel, locked; the mailbox of a person is not for others to change."""
    locked = Channel.objects.select_for_update().filter(pk=channel.pk, user=None).first()
    if locked is None:
        raise Conflict("This is somebody's own mailbox, not a shared channel.")
    return locked


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise Invalid("Give the channel a name of 1 to 100 characters.", field="name")
    return name


def _checked_target(kind: str, target: str) -> str:
    target = target.strip()
    if not target or len(target) > LONGEST_TARGET:
        raise Invalid(f"The address has 1 to {LONGEST_TARGET} characters.", field="target")
    CHECK_TARGET[kind](target)
    return encrypt(target)


def _checked_glob(models_glob: str) -> str:
    if not models_glob or len(models_glob) > 256 or not models_glob.isprintable():
        raise Invalid("The pattern of model names has 1 to 256 characters; * is all.", field="models_glob")
    return models_glob


def _checked_kinds(kinds: Iterable[str]) -> list[str]:
    chosen = sorted(set(kinds))
    if unknown := [kind for kind in chosen if kind not in known_kinds()]:
        raise Invalid(f"There is no event kind {unknown[0][:64]!r}. docs/events.md lists them.", field="kinds")
    return chosen
