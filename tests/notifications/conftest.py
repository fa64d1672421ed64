"""What the tests of this room start from: events that happened, a mail server and a Slack that are really there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import User
from core.crypto import encrypt
from notifications.forms.standard import new_secret
from notifications.models import Channel, Delivery, Event
from tests.receivers import Mailbox, Receiver
from tests.servers import free_port


def happened(
    kind: str = "request.opened",
    *,
    audience: Iterable[User] = (),
    summary: str = "mira asks to move version 3 of churn-predictor to Production.",
    model_name: str = "churn-predictor",
    request_id: int | None = 7,
    **data: Any,
) -> Event:
    """An event of this kind, as the services of other rooms record them."""
    return Event.objects.create(
        kind=kind,
        model_name=model_name,
        version=3,
        request_id=request_id,
        summary=summary,
        path=f"/requests/{request_id}/" if request_id else "/models/",
        data=data,
        audience=[person.pk for person in audience],
    )


def slack_channel(url: str, **fields: Any) -> Channel:
    return Channel.objects.create(kind=Channel.Kind.SLACK, name="#ml-releases", target=encrypt(url), **fields)


def webhook(url: str, *, form: str = Channel.Form.STANDARD, secret: str | None = None, **fields: Any) -> Channel:
    """Without a secret given one is made where the form asks for it."""
    if secret is None:
        secret = new_secret() if form == Channel.Form.STANDARD else ""
    return Channel.objects.create(
        kind=Channel.Kind.WEBHOOK,
        form=form,
        key=uuid.uuid4(),
        name="deploy",
        target=encrypt(url),
        secret=encrypt(secret) if secret else "",
        **fields,
    )


def delivery_of(event: Event, channel: Channel, **fields: Any) -> Delivery:
    return Delivery.objects.create(event=event, channel=channel, **fields)


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[Mailbox]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    with Mailbox(settings.EMAIL_PORT) as mailbox:
        yield mailbox


@pytest.fixture
def slack(receiver: Receiver) -> Receiver:
    return receiver
