"""A webhook: an event as JSON in the form that the channel names, signed with its secret."""

from __future__ import annotations

from core import outbound
from core.crypto import decrypt
from core.errors import Invalid
from core.outbound import TOTAL_TIMEOUT, Answer, Unreachable
from notifications.forms import FORMS
from notifications.models import Delivery
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


def send(delivery: Delivery, target: str) -> Sent:
    return http.accepted(exchange(delivery, target), by="The webhook")


def exchange(delivery: Delivery, target: str, *, seconds: float = TOTAL_TIMEOUT) -> Answer:
    """Send it and return whatever is answered, without the secrets where the other side repeats them."""
    channel = delivery.channel
    secret = decrypt(channel.secret) if channel.secret else ""
    authorization = decrypt(channel.authorization) if channel.authorization else ""
    message = FORMS[channel.form].message(delivery, secret)
    headers = message.headers | ({"Authorization": authorization} if authorization else {})
    answer = http.post(target + message.path, body=message.body, headers=headers, seconds=seconds)
    text = answer.text
    for hidden in (secret, authorization, authorization.rpartition(" ")[2]):
        text = text.replace(hidden, "…") if hidden else text
    return Answer(answer.status, text, answer.headers)
