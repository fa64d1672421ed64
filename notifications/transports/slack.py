"""Slack, by an incoming webhook: a message of blocks with a link to the page."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from core import outbound
from core.errors import Invalid
from core.outbound import Unreachable
from notifications.models import Channel, Event
from notifications.transports.base import Sent, TransportError


def check_target(target: str) -> None:
    try:
        outbound.check_url(target)
    except Unreachable as error:
        raise Invalid(error.message, field="target") from error


def escape(text: str) -> str:
    """As Slack asks: then no text can mention a channel or make a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(event: Event) -> dict[str, Any]:
    """The text for notifications and the blocks for the channel."""
    url = f"{settings.BASE_URL}{event.path}" if event.path else settings.BASE_URL
    blocks: list[dict[str, Any]] = [_section(f"*{escape(event.summary)[:2500]}*")]
    if comment := str(event.data.get("comment", "")).strip():
        quoted = "\n".join(f"> {line}" for line in escape(comment)[:1500].splitlines())
        blocks.append(_section(quoted))
    if waiting := event.data.get("waiting_for"):
        blocks.append(_section("Waiting for: " + escape("; ".join(map(str, waiting)))[:1500]))
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open in Countersign"}, "url": url}
    blocks.append({"type": "actions", "elements": [button]})
    return {"text": escape(event.summary)[:2500], "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def send(event: Event, channel: Channel, target: str) -> Sent:
    body = json.dumps(message(event)).encode()
    try:
        answer = outbound.post(target, body=body, headers={"Content-Type": "application/json", "User-Agent": "Countersign"})
    except Unreachable as error:
        raise TransportError(error.message, give_up=error.is_refused) from error
    if 200 <= answer.status < 300:
        return Sent(answer.text[:1000], answer.status)
    after = answer.headers.get("retry-after", "")
    raise TransportError(
        f"Slack answered {answer.status}: {answer.text[:300]}",
        give_up=answer.status not in (408, 429) and answer.status < 500,
        is_gone=answer.status in (404, 410),
        retry_after=int(after) if after.isdigit() else None,
        status_code=answer.status,
    )
