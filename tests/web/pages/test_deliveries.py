"""/deliveries/: what was sent to whom, and what the other side answered."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from notifications.models import Attempt, Channel, Delivery, Event

Session = Callable[[User], Client]


@pytest.fixture
def delivery(mira: User) -> Delivery:
    """To mira's mailbox; refused once."""
    event = Event.objects.create(kind="request.opened", summary="dkim asks for churn-predictor 2.", path="/requests/1/")
    channel = Channel.objects.create(kind="email", name="mail to mira", user=mira, target="")
    made = Delivery.objects.create(event=event, channel=channel, state=Delivery.State.FAILED, attempts=1)
    Attempt.objects.create(delivery=made, succeeded=False, status_code=550, answer="no such mailbox")
    return made


def test_people_see_what_was_sent_to_themselves(delivery: Delivery, mira: User, sam: User, session: Session) -> None:
    assert "no such mailbox" in session(mira).get("/deliveries/").content.decode()
    assert "Nothing was sent yet" in session(sam).get("/deliveries/").content.decode()


def test_administrators_see_everything_by_state(delivery: Delivery, admin: User, session: Session) -> None:
    page = session(admin)

    assert "dkim asks" in page.get("/deliveries/?state=failed").content.decode()
    assert "dkim asks" not in page.get("/deliveries/?state=sent").content.decode()
    assert page.get("/deliveries/?state=nonsense&before=x").status_code == 200


def test_a_delivery_is_sent_again(delivery: Delivery, mira: User, session: Session) -> None:
    page = session(mira).post(f"/deliveries/{delivery.pk}/again/", follow=True)

    assert "It is on its way again" in page.content.decode()
    delivery.refresh_from_db()
    assert delivery.state != Delivery.State.FAILED


def test_nobody_sends_again_what_was_for_others(delivery: Delivery, sam: User, session: Session) -> None:
    assert session(sam).post(f"/deliveries/{delivery.pk}/again/").status_code == 404


def test_an_auditor_sees_everything_and_why_they_cannot_send_it_again(
    delivery: Delivery, sam: User, session: Session
) -> None:
    User.objects.filter(pk=sam.pk).update(is_auditor=True)
    page = session(User.objects.get(pk=sam.pk))

    shown = page.get("/deliveries/").content.decode()
    assert 'aria-disabled="true" aria-describedby="again-why">Send again<' in shown
    assert '<span id="again-why">Only an administrator manages channels.</span>' in shown
    page.post(f"/deliveries/{delivery.pk}/again/")

    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.FAILED


def test_many_deliveries_are_paged_without_a_gap(delivery: Delivery, admin: User, session: Session) -> None:
    events = Event.objects.bulk_create(
        Event(kind="comment.created", summary=f"comment number {n:03}", path="/models/") for n in range(120)
    )
    Delivery.objects.bulk_create(Delivery(event=event, channel=delivery.channel) for event in events)
    page, address, seen = session(admin), "/deliveries/", []
    while address:
        shown = page.get(address).content.decode()
        seen += re.findall(r">comment number (\d+)<", shown)
        older = re.search(r'rel="next" href="([^"]+)"', shown)
        address = f"/deliveries/{html.unescape(older[1])}" if older else ""

    assert seen == [f"{n:03}" for n in reversed(range(120))]


def test_an_answer_with_markup_is_text(delivery: Delivery, admin: User, session: Session) -> None:
    Attempt.objects.update(answer="<script>alert(1)</script>")

    assert "<script>alert" not in session(admin).get("/deliveries/").content.decode()
