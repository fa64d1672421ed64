"""What a form is: how the messages of a webhook look, what it calls events, and how it signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from notifications.models import Delivery, Event


@dataclass(frozen=True, slots=True)
class Message:
    """A POST as it goes out: the bytes that were signed, and what is added to the channel's address."""

    body: bytes
    headers: dict[str, str]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """``kinds`` are the names that a webhook may subscribe to. ``names_of`` says what an event is called: a name for
    each message that the form makes of it, by its ``Delivery.part``; nothing when the form has no word for it.
    ``message`` takes the secret in plain text, "" for none. ``checked_kinds`` and ``check_secret`` raise Invalid for
    what the form cannot have."""

    kinds: Callable[[], Collection[str]]
    names_of: Callable[[Event], Mapping[str, str]]
    message: Callable[[Delivery, str], Message]
    checked_kinds: Callable[[Iterable[str]], list[str]]
    check_secret: Callable[[str], None]


def signature(key: bytes, *, message_id: str, timestamp: str, body: bytes) -> str:
    """As Standard Webhooks and MLflow both have it; only what the key is and the headers differ."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
