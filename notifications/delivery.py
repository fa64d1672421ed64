"""Sending what is due: claim, send outside any transaction, write down the answer.

At least once: a lease that ran out (a worker was killed) is claimed again, and the event's key is the same each time.
"""

from __future__ import annotations

import random
import time
import uuid
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q

from core.clock import now
from core.crypto import decrypt
from core.errors import CountersignError
from notifications.models import Attempt, Channel, Delivery
from notifications.transports import SEND
from notifications.transports.base import Sent, TransportError

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=90)  # longer than any transport may take
BATCH = 20
# Seconds until the next try, after the first, second, … failure (Standard Webhooks): 75 hours in all.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


def send_due() -> int:
    """Claim and send one batch; how many were tried."""
    claimed = _claim()
    for delivery in claimed:
        _send(delivery)
    return len(claimed)


def _claim() -> list[Delivery]:
    """Lease what is due. Another worker's claim at the same moment gets other rows: the update asks for the state again."""
    moment = now()
    due = Q(state=Delivery.State.PENDING, next_attempt_at__lte=moment) | Q(
        state=Delivery.State.LEASED, lease_until__lt=moment
    )
    with transaction.atomic():
        rows = Delivery.objects.filter(due).select_for_update(skip_locked=True, of=("self",)).order_by("next_attempt_at")
        ids = list(rows.values_list("pk", flat=True)[:BATCH])
        token = uuid.uuid4()
        Delivery.objects.filter(due, pk__in=ids).update(
            state=Delivery.State.LEASED, lease_until=moment + LEASE, attempts=F("attempts") + 1, lease=token
        )
    return list(Delivery.objects.filter(lease=token, state=Delivery.State.LEASED).select_related("event__actor", "channel__user"))


def _send(delivery: Delivery) -> None:
    started = time.monotonic()
    sent, error = None, None
    try:
        sent = _transmit(delivery)
    except TransportError as failure:
        error = failure
    except CountersignError as failure:
        error = TransportError(failure.message, give_up=True)
    duration = int((time.monotonic() - started) * 1000)
    with transaction.atomic():
        mine = Delivery.objects.select_for_update().filter(pk=delivery.pk, lease=delivery.lease, state=Delivery.State.LEASED)
        if not mine.exists():
            return  # the lease ran out meanwhile and somebody else has taken over
        _write_down(delivery, sent, error, duration)


def _transmit(delivery: Delivery) -> Sent:
    channel = delivery.channel
    if not channel.is_active:
        raise TransportError("The channel is switched off.", give_up=True)
    if channel.user is not None:
        if not channel.user.is_active or not channel.user.email:
            raise TransportError("This person has left or has no mail address.", give_up=True)
        target = channel.user.email  # what it is now, not what it was
    else:
        target = decrypt(channel.target)
    return SEND[channel.kind](delivery.event, channel, target)


def _write_down(delivery: Delivery, sent: Sent | None, error: TransportError | None, duration_ms: int) -> None:
    Attempt.objects.create(
        delivery=delivery,
        succeeded=sent is not None,
        status_code=sent.status_code if sent else error.status_code if error else None,
        answer=(sent.answer if sent else error.message if error else "")[:1000],
        duration_ms=duration_ms,
    )
    if sent:
        delivery.state, delivery.sent_at = Delivery.State.SENT, now()
    elif error and (error.give_up or delivery.attempts > len(SCHEDULE)):
        delivery.state = Delivery.State.FAILED
        log.warning("delivery_failed", delivery=delivery.pk, channel=delivery.channel_id, reason=error.message)
        if error.is_gone and delivery.channel.user is None:
            Channel.objects.filter(pk=delivery.channel_id).update(is_active=False, disabled_reason=error.message[:300])
    else:
        delivery.state = Delivery.State.PENDING
        wait = (error.retry_after if error else None) or SCHEDULE[min(delivery.attempts, len(SCHEDULE)) - 1]
        delivery.next_attempt_at = now() + timedelta(seconds=wait * random.uniform(1.0, 1.1))  # noqa: S311 - jitter
    delivery.lease_until = None
    delivery.save(update_fields=["state", "sent_at", "next_attempt_at", "lease_until"])
