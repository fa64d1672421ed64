"""Many workers at once, in real threads on PostgreSQL: each delivery is sent by one of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction

from accounts.models import User
from core.clock import now
from core.errors import Conflict
from notifications import services
from notifications.delivery import send_next
from notifications.fanout import fan_out
from notifications.models import Attempt, Channel, Delivery, Event
from notifications.tasks import drain
from notifications.transports import SEND
from notifications.transports.base import Sent, TransportError
from tests.notifications.conftest import delivery_of, happened, slack_channel

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL; SQLite has one writer"),
]
WORKERS = 6


def at_once(call: Callable[[], object], *, workers: int = WORKERS) -> list[object]:
    barrier = threading.Barrier(workers)

    def run(_: int) -> object:
        try:
            barrier.wait(timeout=20)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(run, range(workers)))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each event went out."""
    counted: Counter[str] = Counter()
    lock = threading.Lock()

    def send(delivery: Delivery, target: str) -> Sent:
        time.sleep(0.005)
        with lock:
            counted[f"{delivery.event.key} {delivery.channel_id}"] += 1
        return Sent("ok")

    for kind in SEND:
        monkeypatch.setitem(SEND, kind, send)
    return counted


def test_several_drains_at_once_send_each_delivery_once(sent: Counter[str], alice: User, dkim: User) -> None:
    slack_channel("https://hooks.example.com/x")
    for _ in range(60):
        happened(audience=[alice, dkim])

    at_once(drain)

    assert len(sent) == 180
    assert set(sent.values()) == {1}
    assert Delivery.objects.filter(state="sent", attempts=1).count() == 180
    assert Attempt.objects.count() == 180


def test_one_delivery_that_all_want_is_claimed_by_one(sent: Counter[str]) -> None:
    channel = slack_channel("https://hooks.example.com/x")
    for _ in range(30):
        delivery_of(happened(), channel)

        claims = at_once(send_next)

        assert sorted(map(bool, claims)) == [False] * (WORKERS - 1) + [True]
    assert set(sent.values()) == {1}


def test_a_lease_that_ran_out_is_taken_over_by_one(sent: Counter[str]) -> None:
    channel = slack_channel("https://hooks.example.com/x")
    for _ in range(20):
        delivery_of(happened(), channel, state="leased", lease_until=now())

        claims = at_once(send_next)

        assert claims.count(True) == 1
    assert set(sent.values()) == {1}


def test_two_fan_outs_make_one_delivery_and_one_mailbox(alice: User) -> None:
    for _ in range(10):
        Channel.objects.all().delete()
        happened(audience=[alice])
        happened("review.approved", audience=[alice])

        at_once(fan_out, workers=3)

        assert Channel.objects.filter(user=alice).count() == 1
        assert Delivery.objects.count() == 2


def test_a_claim_waits_for_nobody() -> None:
    """What another transaction holds is skipped, so a stuck worker holds up nothing but its own row."""
    channel = slack_channel("https://hooks.example.com/x", is_active=False)
    held, free = delivery_of(happened(), channel), delivery_of(happened(), channel)
    with transaction.atomic():
        list(Delivery.objects.select_for_update().filter(pk=held.pk))
        began = time.monotonic()

        assert at_once(send_next, workers=1) == [True]

        assert time.monotonic() - began < 5
        assert Delivery.objects.get(pk=free.pk).state == "failed"
    assert Delivery.objects.get(pk=held.pk).state == "pending"


def test_sending_again_at_the_same_moment_queues_it_once(admin: User) -> None:
    delivery = delivery_of(happened(), slack_channel("https://hooks.example.com/x"), state="failed")

    def again() -> bool:
        try:
            services.send_again(actor=admin, delivery=Delivery.objects.select_related("channel").get(pk=delivery.pk))
        except Conflict:
            return False
        return True

    assert at_once(again).count(True) == 1
    assert Event.objects.filter(kind="delivery.sent_again").count() == 1


def test_workers_that_meet_a_server_in_and_out_of_reach_never_wait_for_each_other(
    sent: Counter[str], monkeypatch: pytest.MonkeyPatch, alice: User, dkim: User
) -> None:
    """Each failure puts the others off and each success brings them back: on the same rows, at the same time."""
    for _ in range(40):
        happened(audience=[alice, dkim])
    fan_out()
    reached, turns = SEND[Channel.Kind.EMAIL], iter(range(1_000_000))

    def send(delivery: Delivery, target: str) -> Sent:
        if next(turns) % 2:
            raise TransportError("It is down.", is_down=True)
        return reached(delivery, target)

    monkeypatch.setitem(SEND, Channel.Kind.EMAIL, send)
    for _ in range(30):
        Delivery.objects.filter(state="pending").update(next_attempt_at=now())
        at_once(drain)
        if not Delivery.objects.exclude(state="sent").exists():
            break

    assert len(sent) == 80
    assert set(sent.values()) == {1}
