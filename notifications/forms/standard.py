"""Our own form: every event under its own kind, signed as in the Standard Webhooks specification."""

from __future__ import annotations

import base64
import binascii
import json
import secrets

from django.conf import settings

from core.clock import now
from core.errors import Invalid
from notifications.events import checked_kinds, known_kinds
from notifications.forms.base import Form, Message, signature
from notifications.models import Delivery, Event

PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY = 24, 64  # bytes


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def message(delivery: Delivery, secret: str) -> Message:
    event = delivery.event
    body = json.dumps(_payload(event)).encode()
    message_id, timestamp = str(event.key), str(int(now().timestamp()))
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(_key(secret), message_id=message_id, timestamp=timestamp, body=body),
    }
    return Message(body, headers)


def _payload(event: Event) -> dict[str, object]:
    return {
        "type": event.kind,
        "timestamp": event.created_at.isoformat(),
        "key": str(event.key),
        "actor": event.actor.username if event.actor else None,
        "model": event.model_name,
        "version": event.version,
        "request": event.request_id,
        "summary": event.summary,
        "url": f"{settings.BASE_URL}{event.path}",
        "data": event.data,
    }


def check_secret(secret: str) -> None:
    try:
        length = len(_key(secret)) if secret.startswith(PREFIX) else 0
    except (binascii.Error, ValueError):
        length = 0
    if not SHORTEST_KEY <= length <= LONGEST_KEY:
        said = f"The secret looks like {PREFIX}… with {SHORTEST_KEY} to {LONGEST_KEY} bytes in base64."
        raise Invalid(f"{said} Leave it out to have one made.", field="secret")


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def names_of(event: Event) -> dict[str, str]:
    return {"": event.kind}


FORM = Form(
    kinds=known_kinds, names_of=names_of, message=message, checked_kinds=checked_kinds, check_secret=check_secret
)
