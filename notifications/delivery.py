"""Sending what is due: claim one row, send outside any transaction, write down the answer.

At least once: a lease that ran out (its worker was killed) is claimed again, and the event's key is the same each time.
While a lease lives nobody else sends: it outlasts every limit of time that the transports keep.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts.permissions import administrators
from core.clock import now
from core.crypto import decrypt
from core.errors import CountersignError
from notifications.events import ChannelDisabled, DeliveryFailed, record
from notifications.listeners import HOUSEKEEPING
from notifications.models import Attempt, Channel, Delivery, Event
from notifications.transports import SEND, SHARED_SERVER, http, webhook
from notifications.transports.base import TransportError

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=90)
# Seconds until the next try, after the first, second, … failure (Standard Webhooks): ten tries, 75 hours in all.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
LONGEST_WAIT = 86_400  # however long Retry-After asks for
# A server that cannot be reached at all is asked again after seconds, by one delivery at a time, and such a try does
# not count: nobody was bothered by it. Once it answers, all that waited for it goes. After the patience, the schedule.
PROBE_AFTER = timedelta(seconds=15)
OTHERS_AFTER = timedelta(seconds=60)
PATIENCE = timedelta(hours=1)
MOST_AT_ONCE = 1000
FAILURES_IN_A_ROW = 5  # deliveries given up, one after the other: then the channel is switched off
LONGEST_ANSWER = 1000
SECONDS_TO_WAIT = 5.0  # to connect, and then for the whole answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: ``error`` is None when it was sent."""

    answer: str
    status_code: int | None
    duration_ms: int
    error: TransportError | None = None


def send_next() -> bool:
    """Claim the delivery that is due the longest and send it; whether there was one."""
    delivery = _claim()
    if delivery is None:
        return False
    _write_down(delivery, _try(delivery))
    return True


def _claim() -> Delivery | None:
    """Lease a row that is due. Of two workers at the same moment each gets another one: what is locked is skipped,
    and where a database has no such lock the update asks for the state again."""
    moment = now()
    due = Q(state=Delivery.State.PENDING, next_attempt_at__lte=moment) | Q(
        state=Delivery.State.LEASED, lease_until__lt=moment
    )
    if not Delivery.objects.filter(due).exists():
        return None  # asked first without a lock: on SQLite a transaction takes the one write lock
    lease = uuid.uuid4()
    with transaction.atomic():
        rows = Delivery.objects.filter(due).select_for_update(skip_locked=True).order_by("next_attempt_at", "id")
        pk = rows.values_list("pk", flat=True).first()
        if pk is None:
            return None
        Delivery.objects.filter(due, pk=pk).update(
            state=Delivery.State.LEASED, lease=lease, lease_until=moment + LEASE, attempts=F("attempts") + 1
        )
    return Delivery.objects.filter(lease=lease).select_related("event__actor", "channel__user").first()


def _try(delivery: Delivery) -> Outcome:
    started, target = time.monotonic(), ""
    sent, error = None, None
    try:
        target = _target(delivery)
        sent = SEND[delivery.channel.kind](delivery, target)
    except TransportError as failure:
        error = failure
    except CountersignError as failure:
        error = TransportError(failure.message, give_up=True)
    except Exception as failure:  # one message that cannot be made must not hold up all the others
        log.exception("delivery_crashed", delivery=delivery.pk, kind=delivery.event.kind)
        error = TransportError(f"Countersign could not make this message: {type(failure).__name__}. Its log says more.")
    answer = sent.answer if sent else error.message if error else ""
    return Outcome(
        answer=_presentable(answer, secret=target),
        status_code=sent.status_code if sent else error.status_code if error else None,
        duration_ms=int((time.monotonic() - started) * 1000),
        error=error,
    )


def send_once(event: Event, channel: Channel) -> Outcome:
    """Send it to a webhook at once, for somebody who waits for the answer; kept as a delivery that is over."""
    started, target = time.monotonic(), decrypt(channel.target)
    answer, status_code, error = "", None, None
    try:
        reply = webhook.exchange(Delivery(event=event, channel=channel), target, seconds=SECONDS_TO_WAIT)
        answer, status_code = reply.text, reply.status
        http.accepted(reply, by="The webhook")
    except TransportError as failure:
        error = failure
        answer = answer if status_code else failure.message
    outcome = Outcome(
        answer=_presentable(answer, secret=target),
        status_code=status_code,
        duration_ms=int((time.monotonic() - started) * 1000),
        error=error,
    )
    _keep_over(event, channel, outcome)
    return outcome


@transaction.atomic
def _keep_over(event: Event, channel: Channel, outcome: Outcome) -> None:
    delivery = Delivery.objects.create(
        event=event,
        channel=channel,
        state=Delivery.State.FAILED if outcome.error else Delivery.State.SENT,
        sent_at=None if outcome.error else now(),
        attempts=1,
    )
    _keep_attempt(delivery, outcome)


def _keep_attempt(delivery: Delivery, outcome: Outcome) -> None:
    Attempt.objects.create(
        delivery=delivery,
        succeeded=outcome.error is None,
        status_code=outcome.status_code,
        answer=outcome.answer,
        duration_ms=outcome.duration_ms,
    )


def _target(delivery: Delivery) -> str:
    channel = delivery.channel
    if delivery.attempts > len(SCHEDULE) + 1:
        raise TransportError("Every try ended with the worker that made it.", give_up=True)
    if channel.deleted_at:
        raise TransportError("The channel was deleted.", give_up=True)
    if not channel.is_active:
        raise TransportError("The channel is switched off.", give_up=True)
    if channel.user is None:
        return decrypt(channel.target)
    if not channel.user.is_active or not channel.user.email:
        raise TransportError("This person has left or has no mail address.", give_up=True)
    return channel.user.email  # what it is now, not what it was


def _presentable(answer: str, *, secret: str) -> str:
    """An answer as it is kept: short, printable, without the channel's secret address or a part of it."""
    parts = urlsplit(secret)
    pieces = [secret, parts.path, parts.query, *re.split(r"[/&=?]", f"{parts.path}?{parts.query}")]
    for piece in sorted({piece for piece in pieces if len(piece) >= 6}, key=len, reverse=True):
        answer = answer.replace(piece, "…")
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in answer)[:LONGEST_ANSWER].strip()


@transaction.atomic
def _write_down(delivery: Delivery, outcome: Outcome) -> None:
    mine = Delivery.objects.filter(pk=delivery.pk, lease=delivery.lease, state=Delivery.State.LEASED)
    probed = outcome.error is not None and outcome.error.is_down and now() - delivery.created_at < PATIENCE
    if outcome.error is None:
        kept = mine.update(state=Delivery.State.SENT, sent_at=now(), lease_until=None)
    elif probed:
        again = now() + PROBE_AFTER
        kept = mine.update(
            state=Delivery.State.PENDING, attempts=F("attempts") - 1, next_attempt_at=again, lease_until=None
        )
    elif outcome.error.give_up or delivery.attempts > len(SCHEDULE):
        kept = mine.update(state=Delivery.State.FAILED, lease_until=None)
    else:
        wait = _wait(delivery.attempts, outcome.error)
        kept = mine.update(state=Delivery.State.PENDING, next_attempt_at=now() + wait, lease_until=None)
    if not kept:
        log.warning("delivery_lease_lost", delivery=delivery.pk)
        return  # it took too long, somebody else has taken over and writes down what came of it
    _keep_attempt(delivery, outcome)
    if outcome.error is None:
        _put_off(_beside(delivery).filter(attempts=0, next_attempt_at__gt=now()), until=now())
        return
    if outcome.error.is_down:
        until = now() + OTHERS_AFTER
        _put_off(_beside(delivery).filter(next_attempt_at__lt=until), until=until)
    if not probed and (outcome.error.give_up or delivery.attempts > len(SCHEDULE)):
        log.warning("delivery_failed", delivery=delivery.pk, channel=delivery.channel_id, reason=outcome.answer)
        _after_giving_up(delivery, outcome)


def _wait(attempts: int, error: TransportError) -> timedelta:
    """Until the next try, with some jitter so that a server that comes back is not met by all at once."""
    seconds = SCHEDULE[min(attempts, len(SCHEDULE)) - 1]
    if error.retry_after is not None:
        seconds = min(max(error.retry_after, 1), LONGEST_WAIT)
    return timedelta(seconds=seconds * random.uniform(1.0, 1.1))  # noqa: S311


def _beside(delivery: Delivery) -> QuerySet[Delivery]:
    """The others that wait for the same server."""
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING).exclude(pk=delivery.pk)
    if delivery.channel.kind in SHARED_SERVER:
        return waiting.filter(channel__in=Channel.objects.filter(kind=delivery.channel.kind))
    return waiting.filter(channel=delivery.channel)


def _put_off(deliveries: QuerySet[Delivery], *, until: datetime) -> None:
    """A hint more than a rule: rows that another worker holds are left out, so that no two ever wait for each other."""
    free = deliveries.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)
    Delivery.objects.filter(pk__in=list(free[:MOST_AT_ONCE])).update(next_attempt_at=until)


def _after_giving_up(delivery: Delivery, outcome: Outcome) -> None:
    """Tell the administrators, and switch off a shared channel that is gone or through which nothing gets any more."""
    channel = delivery.channel
    if channel.user is not None or not channel.is_active:
        return
    finished = Delivery.objects.filter(channel=channel, state__in=[Delivery.State.SENT, Delivery.State.FAILED])
    states = finished.exclude(pk=delivery.pk).order_by("-pk").values_list("state", flat=True)
    latest = list(states[: FAILURES_IN_A_ROW - 1])
    told = administrators()
    is_gone = outcome.error is not None and outcome.error.is_gone
    if is_gone or latest == [Delivery.State.FAILED] * (FAILURES_IN_A_ROW - 1):
        switched = Channel.objects.filter(pk=channel.pk, is_active=True)
        if switched.update(is_active=False, disabled_reason=outcome.answer[:300]):
            record(ChannelDisabled(channel=channel.name, reason=outcome.answer), actor=None, audience=told)
    elif latest[:1] != [Delivery.State.FAILED] and delivery.event.kind not in HOUSEKEEPING:
        failed = DeliveryFailed(
            channel=channel.name,
            event_key=str(delivery.event.key),
            event_kind=delivery.event.kind,
            reason=outcome.answer,
        )
        record(failed, actor=None, audience=told)
