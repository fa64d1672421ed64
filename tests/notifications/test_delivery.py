"""One delivery from due to sent or given up: what is kept of each try, when the next one comes, when a channel ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine

from accounts.models import User
from core import outbound
from core.clock import now
from core.errors import Conflict
from notifications import services
from notifications.delivery import FAILURES_IN_A_ROW, LEASE, PATIENCE, PROBE_AFTER, SCHEDULE, send_next
from notifications.fanout import fan_out
from notifications.models import Attempt, Channel, Delivery, Event
from notifications.transports import SEND, email
from notifications.transports.base import Sent, TransportError
from tests.notifications.conftest import delivery_of, happened, slack_channel

pytestmark = pytest.mark.django_db
SECRET_URL = "https://hooks.example.com/services/T01234567/B76543210/x0y1z2SECRET?token=hunter2hunter2"
Answer = Callable[[], Sent]


class Wire:
    """In place of the transports: keeps what was sent, and answers as the test says."""

    def __init__(self) -> None:
        self.sent: list[tuple[Event, Channel, str]] = []
        self.answers: Answer = lambda: Sent("ok", 200)

    def send(self, delivery: Delivery, target: str) -> Sent:
        self.sent.append((delivery.event, delivery.channel, target))
        return self.answers()

    def fails(self, message: str = "It did not work.", **how: object) -> None:
        def answer() -> Sent:
            raise TransportError(message, **how)  # type: ignore[arg-type]

        self.answers = answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    for kind in SEND:
        monkeypatch.setitem(SEND, kind, wire.send)
    return wire


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-10-05 12:00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def channel(db: None) -> Channel:
    return slack_channel(SECRET_URL)


@pytest.fixture
def due(channel: Channel) -> Delivery:
    return delivery_of(happened(), channel)


def after(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


# -- What is kept ------------------------------------------------------------------------------------------------------


def test_what_was_sent_is_kept_with_its_answer(due: Delivery, wire: Wire) -> None:
    assert send_next()

    sent = after(due)
    attempt = Attempt.objects.get()
    assert (sent.state, sent.attempts, sent.lease_until) == ("sent", 1, None)
    assert sent.sent_at is not None
    assert (attempt.succeeded, attempt.status_code, attempt.answer) == (True, 200, "ok")
    assert wire.sent == [(due.event, due.channel, SECRET_URL)]
    assert not send_next()


def test_what_is_not_due_is_left_alone(due: Delivery, wire: Wire) -> None:
    Delivery.objects.update(next_attempt_at=now() + timedelta(seconds=1))

    assert not send_next()
    assert wire.sent == []


def test_the_one_that_waits_longest_goes_first(channel: Channel, wire: Wire) -> None:
    young = delivery_of(happened(), channel, next_attempt_at=now() - timedelta(seconds=1))
    old = delivery_of(happened(), channel, next_attempt_at=now() - timedelta(seconds=9))

    send_next()
    send_next()

    assert [event for event, _, _ in wire.sent] == [old.event, young.event]


def test_a_persons_mail_goes_to_their_present_address(alice: User, wire: Wire) -> None:
    happened(audience=[alice])
    fan_out()
    User.objects.filter(pk=alice.pk).update(email="alice@new.example.com")

    send_next()

    assert wire.sent[0][2] == "alice@new.example.com"


def test_a_person_who_left_meanwhile_gets_nothing(alice: User, wire: Wire) -> None:
    happened(audience=[alice])
    fan_out()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    send_next()

    assert wire.sent == []
    assert Delivery.objects.get().state == "failed"
    assert Channel.objects.get().is_active  # it is there again when they come back


def test_an_answer_is_kept_short_printable_and_without_the_secret(due: Delivery, wire: Wire) -> None:
    segment = "x0y1z2SECRET"
    wire.fails(
        f"No route for {SECRET_URL}; /services/T01234567/B76543210/{segment} token=hunter2hunter2\x00\x1b[31m"
        + "x" * 5000
    )

    send_next()

    answer = Attempt.objects.get().answer
    assert answer.startswith("No route for …")
    for piece in (segment, "T01234567", "B76543210", "hunter2", "\x00", "\x1b"):
        assert piece not in answer
    assert len(answer) <= 1000


def test_a_secret_that_cannot_be_read_any_more_gives_up_with_a_sentence(due: Delivery, wire: Wire) -> None:
    Channel.objects.update(target="not encrypted")

    send_next()

    assert after(due).state == "failed"
    assert "Enter it anew" in Attempt.objects.get().answer


def test_a_message_that_cannot_be_made_is_logged_and_holds_up_nobody(
    channel: Channel, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = delivery_of(happened(), channel), delivery_of(happened(), channel)

    def answer() -> Sent:
        if wire.sent[-1][0] == broken.event:
            raise ZeroDivisionError("with a secret in it")
        return Sent("ok")

    wire.answers = answer
    while send_next():
        pass

    assert (after(broken).state, after(fine).state) == ("pending", "sent")
    assert "ZeroDivisionError" in Attempt.objects.get(delivery=broken).answer
    assert "secret" not in Attempt.objects.get(delivery=broken).answer
    assert "delivery_crashed" in caplog.text


# -- When it is tried again --------------------------------------------------------------------------------------------


def test_the_tries_follow_the_schedule_and_end(clock: time_machine.Traveller, due: Delivery, wire: Wire) -> None:
    wire.fails("Slack answered 500.", status_code=500)
    start = now()
    for tried, seconds in enumerate(SCHEDULE, start=1):
        assert send_next()
        delivery = after(due)
        assert (delivery.state, delivery.attempts) == ("pending", tried)
        wait = (delivery.next_attempt_at - now()).total_seconds()
        assert seconds <= wait <= seconds * 1.1
        assert not send_next()
        clock.move_to(delivery.next_attempt_at)
    assert timedelta(hours=75) < now() - start < timedelta(hours=84)

    assert send_next()

    assert (after(due).state, after(due).attempts) == ("failed", 10)
    assert Attempt.objects.filter(delivery=due, succeeded=False, status_code=500).count() == 10
    assert {event.key for event, _, _ in wire.sent} == {due.event.key}
    clock.shift(timedelta(days=30))
    assert not send_next()
    assert len(wire.sent) == 10


@pytest.mark.parametrize(("asked", "least", "most"), [(120, 120, 132), (0, 1, 2), (10**9, 86_400, 95_040)])
def test_the_wait_that_the_other_side_asks_for_is_kept_within_a_day(
    clock: time_machine.Traveller, asked: int, least: int, most: int, due: Delivery, wire: Wire
) -> None:
    wire.fails(retry_after=asked)

    send_next()

    assert least <= (after(due).next_attempt_at - now()).total_seconds() <= most


def test_what_is_useless_to_try_again_is_given_up_at_once(due: Delivery, wire: Wire) -> None:
    wire.fails(give_up=True)

    send_next()

    assert (after(due).state, after(due).attempts) == ("failed", 1)


@pytest.fixture
def mails(clock: time_machine.Traveller, alice: User, dkim: User) -> tuple[Delivery, Delivery]:
    """To alice and to dkim, by the same mail server, alice's first."""
    happened(audience=[alice, dkim])
    fan_out()
    to_alice, to_dkim = Delivery.objects.get(channel__user=alice), Delivery.objects.get(channel__user=dkim)
    Delivery.objects.filter(pk=to_alice.pk).update(next_attempt_at=now() - timedelta(seconds=1))
    return to_alice, to_dkim


def test_a_server_that_is_down_is_asked_by_one_and_holds_up_nobody_else(
    mails: tuple[Delivery, Delivery], channel: Channel, wire: Wire
) -> None:
    to_slack = delivery_of(happened(), channel)
    wire.fails(is_down=True)
    send_next()
    wire.answers = lambda: Sent("ok")

    while send_next():
        pass

    assert after(to_slack).state == "sent"
    asked, spared = map(after, mails)
    assert (asked.state, asked.attempts, asked.next_attempt_at) == ("pending", 0, now() + PROBE_AFTER)
    assert (spared.state, spared.attempts) == ("pending", 0)
    assert spared.next_attempt_at > asked.next_attempt_at
    assert list(Attempt.objects.filter(succeeded=False).values_list("delivery_id", flat=True)) == [asked.pk]


def test_a_server_that_is_back_gets_at_once_what_waited_for_it(
    clock: time_machine.Traveller, mails: tuple[Delivery, Delivery], wire: Wire
) -> None:
    wire.fails(is_down=True)
    for _ in range(20):
        send_next()
        clock.shift(PROBE_AFTER)
    wire.answers = lambda: Sent("ok")

    while send_next():
        pass

    assert [after(mail).state for mail in mails] == ["sent", "sent"]


def test_a_server_that_stays_down_is_given_up_by_the_schedule(
    clock: time_machine.Traveller, due: Delivery, wire: Wire
) -> None:
    wire.fails(is_down=True)
    start = now()
    while after(due).state == "pending":
        assert send_next()
        clock.move_to(max(after(due).next_attempt_at, now()))

    assert after(due).state == "failed"
    assert timedelta(hours=75) + PATIENCE < now() - start < timedelta(hours=86)
    assert after(due).attempts == len(SCHEDULE) + 1


def test_a_success_hurries_nothing_that_the_schedule_holds_back(
    clock: time_machine.Traveller, mails: tuple[Delivery, Delivery], wire: Wire
) -> None:
    """Such as a mail to somebody whose server is busy: others that get through say nothing about that one."""
    later = now() + timedelta(minutes=5)
    Delivery.objects.filter(pk=mails[1].pk).update(attempts=1, next_attempt_at=later)

    send_next()

    assert after(mails[0]).state == "sent"
    assert after(mails[1]).next_attempt_at == later


# -- Leases ------------------------------------------------------------------------------------------------------------


def test_what_another_worker_is_sending_is_left_to_it(due: Delivery, wire: Wire) -> None:
    Delivery.objects.update(state="leased", lease=uuid.uuid4(), lease_until=now() + timedelta(seconds=1))

    assert not send_next()
    assert wire.sent == []


def test_what_a_killed_worker_left_is_sent_when_its_lease_ends(
    clock: time_machine.Traveller, due: Delivery, wire: Wire
) -> None:
    wire.answers = lambda: (_ for _ in ()).throw(KeyboardInterrupt())  # the worker dies within the transport
    with pytest.raises(KeyboardInterrupt):
        send_next()
    assert after(due).state == "leased"
    wire.answers = lambda: Sent("ok")
    assert not send_next()

    clock.shift(LEASE + timedelta(seconds=1))
    assert send_next()

    assert (after(due).state, after(due).attempts) == ("sent", 2)
    assert [event.key for event, _, _ in wire.sent] == [due.event.key] * 2


def test_a_worker_that_lost_its_lease_writes_nothing(due: Delivery, wire: Wire) -> None:
    mine = uuid.uuid4()

    def somebody_takes_over() -> Sent:
        Delivery.objects.update(lease=mine)
        return Sent("too late")

    wire.answers = somebody_takes_over
    send_next()

    assert (after(due).state, after(due).lease) == ("leased", mine)
    assert not Attempt.objects.exists()


def test_a_delivery_that_kills_every_worker_is_given_up(due: Delivery, wire: Wire) -> None:
    Delivery.objects.update(attempts=len(SCHEDULE) + 1)

    send_next()

    assert wire.sent == []
    assert after(due).state == "failed"
    assert "worker" in Attempt.objects.get().answer


# -- Channels that fail ------------------------------------------------------------------------------------------------


def kinds_told(admin: User) -> list[str]:
    fan_out()
    rows = Delivery.objects.filter(channel__user=admin).order_by("event_id")
    return list(rows.values_list("event__kind", flat=True))


def test_a_channel_that_is_gone_is_switched_off_and_administrators_are_told(
    due: Delivery, wire: Wire, admin: User, sam: User
) -> None:
    wire.fails("Slack answered 410: channel_is_archived", is_gone=True)

    send_next()

    channel = Channel.objects.get(pk=due.channel_id)
    assert (channel.is_active, channel.disabled_reason) == (False, "Slack answered 410: channel_is_archived")
    assert kinds_told(admin) == ["channel.disabled"]
    assert not Channel.objects.filter(user=sam).exists()


def test_one_delivery_given_up_is_told_and_leaves_the_channel_on(due: Delivery, wire: Wire, admin: User) -> None:
    wire.fails("Slack answered 400: invalid_payload", give_up=True)

    send_next()

    assert Channel.objects.get(pk=due.channel_id).is_active
    assert kinds_told(admin) == ["delivery.failed"]
    assert Event.objects.get(kind="delivery.failed").data["event_key"] == str(due.event.key)


def test_a_channel_through_which_nothing_gets_is_switched_off(channel: Channel, wire: Wire, admin: User) -> None:
    wire.fails(give_up=True)
    for failed in range(FAILURES_IN_A_ROW):
        assert Channel.objects.get(pk=channel.pk).is_active, failed
        delivery_of(happened(), channel)
        send_next()

    assert not Channel.objects.get(pk=channel.pk).is_active
    assert kinds_told(admin) == ["delivery.failed", "channel.disabled"]


def test_a_success_in_between_keeps_the_channel_on(channel: Channel, wire: Wire) -> None:
    for turn in range(2 * FAILURES_IN_A_ROW):
        delivery_of(happened(), channel)
        if turn == FAILURES_IN_A_ROW - 1:
            wire.answers = lambda: Sent("ok")
        else:
            wire.fails(give_up=True)
        send_next()
        if turn == 2 * FAILURES_IN_A_ROW - 2:
            break

    assert Channel.objects.get(pk=channel.pk).is_active


def test_what_waits_for_a_channel_that_was_switched_off_is_given_up_quietly(
    due: Delivery, wire: Wire, admin: User
) -> None:
    Channel.objects.filter(pk=due.channel_id).update(is_active=False)

    send_next()

    assert wire.sent == []
    assert after(due).state == "failed"
    assert Attempt.objects.get().answer == "The channel is switched off."
    assert kinds_told(admin) == []


def test_nobody_is_told_of_failing_to_tell_them(wire: Wire, admin: User) -> None:
    """Else a mail server that refuses everything would make a message of each message."""
    happened("channel.disabled", audience=[admin])
    fan_out()
    wire.fails(give_up=True)

    send_next()

    assert Event.objects.count() == 1


# -- Again -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "sent"])
def test_sending_again_starts_anew_with_the_same_key(state: str, due: Delivery, wire: Wire, admin: User) -> None:
    Delivery.objects.update(state=state, attempts=10, lease=uuid.uuid4())

    services.send_again(actor=admin, delivery=after(due))
    send_next()

    assert (after(due).state, after(due).attempts) == ("sent", 1)
    assert wire.sent[0][0].key == due.event.key


@pytest.mark.parametrize("state", ["pending", "leased"])
def test_what_is_on_its_way_is_not_sent_again(state: str, due: Delivery, admin: User) -> None:
    Delivery.objects.update(state=state)

    with pytest.raises(Conflict, match="on its way"):
        services.send_again(actor=admin, delivery=after(due))


def test_every_limit_of_a_transport_is_below_the_lease() -> None:
    """While a lease lives nobody else may send: no transport may take longer than that."""
    longest = max(2 * outbound.TIMEOUT + outbound.TOTAL_TIMEOUT, email.TOTAL_TIMEOUT)
    assert longest < LEASE.total_seconds()
