"""What templates do to a value before they show it: ``{{ node.title|capfirst }}``. Thin: the work is in
core/formatting.py and core/markdown.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import zip_longest

from django.template import defaultfilters
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from approvals.policy import Node, Status
from core import formatting
from core import markdown as core_markdown
from core.clock import from_ms
from registry.side_by_side import Row


def short(text: object, most: int) -> str:
    """At most so many characters; ``truncatechars``, but quick where nothing is to be cut."""
    whole = "" if text is None else str(text)
    return whole if len(whole) <= most else Truncator(whole).chars(most)


def ms_to_datetime(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def duration(length: timedelta) -> str:
    return formatting.duration(length)


def metric(value: float | str | None, beside: float | None = None) -> str:
    """A metric's value, or the word that it is where no number can say it."""
    return value if isinstance(value, str) else formatting.metric(value, beside=beside)


def cells(row: Row) -> list[tuple[object, float | None]]:
    """Each cell of a comparison with how far it is from the first."""
    return list(zip_longest(row.cells, row.changes))


def signed(value: float | None) -> str:
    return formatting.signed(value)


def filesize(size: int | None) -> str:
    return formatting.filesize(size)


def spelled_out(text: str) -> str:
    return formatting.spelled_out(text)


def short_digest(digest: str) -> str:
    return formatting.short_digest(digest)


def markdown(text: str | None) -> SafeString:
    return mark_safe(core_markdown.to_html(text or ""))  # noqa: S308 - sanitised there


def conversation(text: str) -> SafeString:
    """Markdown in which whom it mentions is emphasised."""
    return mark_safe(core_markdown.to_html(text, mentions=True))  # noqa: S308 - sanitised there


def web_address(link: str | None) -> str:
    """A link that somebody sent us, when it is one to follow: never javascript: or data:."""
    return link if link and link.lower().startswith(("https://", "http://")) else ""


def told(node: Node) -> str:
    """Why a requirement has its status; nothing where it is met and the figure beside it says so."""
    return "" if node.kind in ("metric", "description") and node.status == Status.MET and node.figure else node.reason


def unsaid(node: Node) -> str:
    """Who can clear it, where its sentence does not name them."""
    names = [name for name in node.who if name not in node.reason]
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


def parts(node: Node) -> tuple[Node, ...]:
    """The nodes below it that add something: the sentence about approvals names the teams, and who approved."""
    if node.kind != "approvals":
        return node.children
    return tuple(child for child in node.children if child.status in (Status.ERROR, Status.SKIPPED))


FILTERS: dict[str, Callable[..., object]] = {
    # Django's own, where Jinja2 has none of that name or one that says something else.
    "capfirst": defaultfilters.capfirst,
    "cut": defaultfilters.cut,
    "date": defaultfilters.date,
    "default_if_none": defaultfilters.default_if_none,
    "linebreaksbr": defaultfilters.linebreaksbr,
    "pluralize": defaultfilters.pluralize,
    "urlencode": defaultfilters.urlencode,
    "short": short,
    "ms_to_datetime": ms_to_datetime,
    "duration": duration,
    "metric": metric,
    "cells": cells,
    "signed": signed,
    "filesize": filesize,
    "spelled_out": spelled_out,
    "short_digest": short_digest,
    "markdown": markdown,
    "conversation": conversation,
    "web_address": web_address,
    "told": told,
    "unsaid": unsaid,
    "parts": parts,
}
