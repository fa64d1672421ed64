"""Slack, by an incoming webhook: a message of blocks with a link to the page."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import Any

from core import outbound
from core.clock import now
from core.errors import Invalid
from core.outbound import Unreachable
from notifications.models import Channel, Event
from notifications.transports.base import Sent, TransportError
from notifications.transports.wording import wording_of

LONGEST_TEXT = 2700  # a section takes 3,000 characters, some of which are ours
MOST_LINES = 40


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


def send(event: Event, channel: Channel, target: str) -> Sent:
    body = json.dumps(message(event)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Countersign", "X-Countersign-Event": str(event.key)}
    try:
        answer = outbound.post(target, body=body, headers=headers)
    except Unreachable as error:
        raise TransportError(error.message, give_up=error.is_refused, is_down=not error.is_refused) from error
    if 200 <= answer.status < 300:
        return Sent(answer.text, answer.status)
    raise TransportError(
        f"Slack answered {answer.status}: {answer.text}",
        give_up=answer.status not in (408, 429) and answer.status < 500,
        is_gone=answer.status == 410 or (answer.status == 404 and "no_service" in answer.text),
        retry_after=_seconds(answer.headers.get("retry-after", "")),
        status_code=answer.status,
    )


def _seconds(retry_after: str) -> int | None:
    """Retry-After holds seconds or a date; None where it holds neither."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return int(retry_after)
    try:
        return max(0, int((parsedate_to_datetime(retry_after) - now()).total_seconds()))
    except (ValueError, TypeError):  # not a date; a date without a zone
        return None
