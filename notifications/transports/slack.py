"""Slack, by an incoming webhook: a message of blocks with a link to the page."""

from __future__ import annotations

import json
import re
from typing import Any

from notifications.models import Delivery, Event
from notifications.transports import http
from notifications.transports.base import Sent
from notifications.transports.wording import wording_of

LONGEST_TEXT = 2700  # a section takes 3,000 characters, some of which are ours
MOST_LINES = 40


def escape(text: str) -> str:
    """As Slack asks: then no text can mention a channel or make a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(event: Event) -> dict[str, Any]:
    """The text for notifications and the blocks for the channel."""
    wording = wording_of(event)
    blocks = [_section(f"*{wording.title}*\n{_fit(wording.sentence)}")]
    if wording.reason:
        blocks.append(_section("\n".join(f"> {line}" for line in _fit(wording.reason).splitlines()[:MOST_LINES])))
    if wording.waiting_for:
        blocks.append(_section(_fit("Still waiting for:\n" + "\n".join(f"• {item}" for item in wording.waiting_for))))
    blocks.append(_section(f"<{escape(wording.url)}|{wording.link}>"))
    return {"text": _fit(wording.sentence), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    # verbatim: Slack makes no links of what looks like one, and no mentions of @names.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _fit(text: str) -> str:
    """Escaped, and short enough for a section; never cut within an escaped sign."""
    escaped = escape(text)
    return escaped if len(escaped) <= LONGEST_TEXT else re.sub(r"&\w*$", "", escaped[:LONGEST_TEXT]) + "…"


def send(delivery: Delivery, target: str) -> Sent:
    event = delivery.event
    body, headers = json.dumps(message(event)).encode(), {"X-Countersign-Event": str(event.key)}
    answer = http.post(target, body=body, headers=headers)
    return http.accepted(answer, by="Slack", is_gone=answer.status == 404 and "no_service" in answer.text)
