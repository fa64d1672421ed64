"""A webhook: an event as JSON in the form that the channel names, signed with its secret."""

from __future__ import annotations

from core import outbound
from core.crypto import decrypt
from core.errors import Invalid
from core.outbound import TOTAL_TIMEOUT, Answer, Unreachable
from notifications.forms import FORMS
from notifications.models import Channel, Event
from notifications.transports import http
from notifications.transports.base import Sent


def check_target(target: str) -> None:
    """Whether it may be called is asked again each time; an inner address is refused now, where somebody reads it."""
    http.check_target(target)
    host, port = outbound.check_url(target)
    try:
        outbound.resolve(host, port)
    except Unreachable as error:
        if error.is_refused:
            raise Invalid(error.message, field="target") from error


def send(event: Event, channel: Channel, target: str) -> Sent:
    return http.accepted(exchange(event, channel, target), by="The webhook")


def exchange(event: Event, channel: Channel, target: str, *, seconds: float = TOTAL_TIMEOUT) -> Answer:
    """Send it and return whatever is answered, without the secret where the other side repeats it."""
    secret = decrypt(channel.secret) if channel.secret else ""
    message = FORMS[channel.form].message(event, channel, secret)
    answer = http.post(target, body=message.body, headers=message.headers, seconds=seconds)
    text = answer.text.replace(secret, "…") if secret else answer.text
    return Answer(answer.status, text, answer.headers)
