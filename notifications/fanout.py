"""From events to deliveries: who hears of what. A row for each message, made once however often this runs."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from core.clock import now
from core.crypto import encrypt
from core.prepared import NO_KEY, Many, Prepared
from notifications.forms import FORMS
from notifications.listeners import TOLD, hears_of_model, told_personally
from notifications.models import Channel, Delivery, Event

BATCH = 100


def fan_out() -> int:
    """Make the deliveries of the oldest events that have none yet; how many events were handled."""
    waiting = Event.objects.filter(fanned_out_at=None)
    if not waiting.exists():
        return 0  # asked first without a lock: on SQLite a transaction takes the one write lock
    with transaction.atomic():
        events = list(waiting.select_for_update(skip_locked=True).order_by("id")[:BATCH])
        Delivery.objects.bulk_create(_deliveries(events), ignore_conflicts=True)
        Event.objects.filter(pk__in=[event.pk for event in events]).update(fanned_out_at=now())
    return len(events)


def _deliveries(events: list[Event]) -> list[Delivery]:
    shared = _shared(events)
    mailboxes = _mailboxes({user_id for event in events for user_id in told_personally(event)})
    deliveries = []
    for event in events:
        told = [(channel, part) for channel in shared for part in _wanted(channel, event)]
        told += [(mailboxes[user_id], "") for user_id in told_personally(event) if user_id in mailboxes]
        deliveries += [Delivery(event=event, channel=channel, part=part) for channel, part in told]
    return deliveries


_SHARED = Prepared(
    lambda models: Channel.objects.shared().filter(Q(model_id=None) | Q(model_id__in=models), is_active=True), Many(int)
)


def channels_told(events: list[Event]) -> list[Channel]:
    """The shared channels that get a message of any of these events, by name; they need not have happened yet."""
    return [channel for channel in _shared(events) if any(_wanted(channel, event) for event in events)]


def _shared(events: list[Event]) -> list[Channel]:
    return _SHARED.all({event.model_id or NO_KEY for event in events})


def _wanted(channel: Channel, event: Event) -> list[str]:
    """The parts of the event that the channel wants to hear of; "" is the whole. It hears nothing of what happened
    before it was switched on."""
    if (channel.active_since and event.created_at < channel.active_since) or not hears_of_model(channel, event):
        return []
    names = FORMS[channel.form].names_of(event) if channel.form else {"": event.kind}
    return [part for part, name in names.items() if name in (channel.kinds or TOLD)]


def _mailboxes(user_ids: set[int]) -> dict[int, Channel]:
    """The mailbox of each of these people who has an address and is not switched off; made when first needed."""
    if not user_ids:
        return {}
    people = User.objects.filter(pk__in=user_ids, is_active=True).exclude(email="")
    found = {c.user_id: c for c in Channel.objects.filter(user__in=people, kind=Channel.Kind.EMAIL)}
    missing = [
        Channel(kind=Channel.Kind.EMAIL, name=_name(person), user=person, target=encrypt(person.email))
        for person in people
        if person.pk not in found
    ]
    if missing:
        Channel.objects.bulk_create(missing, ignore_conflicts=True)
        found = {c.user_id: c for c in Channel.objects.filter(user__in=people, kind=Channel.Kind.EMAIL)}
    return {user_id: channel for user_id, channel in found.items() if user_id and channel.is_active}


def _name(person: User) -> str:
    return f"Mail to {person.username}"[:100]
