"""The ways to tell people. A new one is a module with ``send`` and ``check_target``, and a line in each table here."""

from __future__ import annotations

from collections.abc import Callable

from notifications.models import Channel, Delivery
from notifications.transports import email, http, slack, webhook
from notifications.transports.base import Sent

SEND: dict[str, Callable[[Delivery, str], Sent]] = {
    Channel.Kind.EMAIL: email.send,
    Channel.Kind.SLACK: slack.send,
    Channel.Kind.WEBHOOK: webhook.send,
}
# Raise Invalid for a target that this kind of channel cannot have.
CHECK_TARGET: dict[str, Callable[[str], None]] = {
    Channel.Kind.EMAIL: email.check_target,
    Channel.Kind.SLACK: http.check_target,
    Channel.Kind.WEBHOOK: webhook.check_target,
}
# Kinds whose channels all go through one server: when it is down for one, it is for all.
SHARED_SERVER = frozenset({Channel.Kind.EMAIL})
