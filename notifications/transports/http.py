"""What the transports over HTTP share: the POST, and what each answer to it means."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from core import outbound
from core.clock import now
from core.errors import Invalid
from core.outbound import TOTAL_TIMEOUT, Answer, Unreachable
from notifications.transports.base import Sent, TransportError

HEADERS = {"Content-Type": "application/json", "User-Agent": "Countersign"}


def check_target(target: str) -> None:
    try:
        outbound.check_url(target)
    except Unreachable as error:
        raise Invalid(error.message, field="target") from error


def post(target: str, *, body: bytes, headers: dict[str, str], seconds: float = TOTAL_TIMEOUT) -> Answer:
    try:
        return outbound.post(target, body=body, headers={**HEADERS, **headers}, seconds=seconds)
    except Unreachable as error:
        raise TransportError(error.message, give_up=error.is_refused, is_down=not error.is_refused) from error


def accepted(answer: Answer, *, by: str, is_gone: bool = False) -> Sent:
    """TransportError for whatever is no 2xx; a redirect is not followed. ``by`` is what sentences call the other side,
    ``is_gone`` whether it says so in a way of its own."""
    if 200 <= answer.status < 300:
        return Sent(answer.text, answer.status)
    raise TransportError(
        f"{by} answered {answer.status}: {answer.text}",
        give_up=answer.status not in (408, 429) and answer.status < 500,
        is_gone=is_gone or answer.status == 410,
        retry_after=seconds_of(answer.headers.get("retry-after", "")),
        status_code=answer.status,
    )


def seconds_of(retry_after: str) -> int | None:
    """Retry-After holds seconds or a date; None where it holds neither."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return int(retry_after)
    try:
        return max(0, int((parsedate_to_datetime(retry_after) - now()).total_seconds()))
    except (ValueError, TypeError):  # not a date; a date without a zone
        return None
