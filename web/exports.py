"""Sending events as a file, CSV or JSON lines, for the page and for our API. Who may see which is not asked here."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from core.clock import now
from notifications.models import EventQuerySet
from web.files import disposition

CHUNK = 500
# As our own API names them, and where each stands.
FIELDS = {
    "key": "key",
    "kind": "kind",
    "actor": "actor__username",
    "model": "model_name",
    "version": "version",
    "request": "request_id",
    "summary": "summary",
    "path": "path",
    "data": "data",
    "created_at": "created_at",
}
RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


def export(request: HttpRequest, events: EventQuerySet, form: str) -> HttpResponseBase:
    """All of ``events``, the newest first, as an attachment. ``form`` is one of ``FORMS``."""
    content_type, write = FORMS[form]
    headers = {
        "Content-Disposition": disposition(f"countersign-events-{now():%Y-%m-%d}.{form}"),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if request.method == "HEAD":
        return HttpResponse(headers=headers, content_type=content_type)
    return StreamingHttpResponse(write(events), headers=headers, content_type=content_type)


def _chunks(events: EventQuerySet) -> Iterator[list[tuple[Any, ...]]]:
    """Each by a statement of its own that begins where the one before ended: a million events need no more memory than
    500, and a slow reader holds no transaction open."""
    rows = events.order_by("-pk").values_list(*FIELDS.values(), "pk")
    chunk = list(rows[:CHUNK])
    while chunk:
        yield [row[:-1] for row in chunk]
        chunk = list(rows.filter(pk__lt=chunk[-1][-1])[:CHUNK]) if len(chunk) == CHUNK else []


def _json_lines(events: EventQuerySet) -> Iterator[bytes]:
    for chunk in _chunks(events):
        yield b"".join(_json(dict(zip(FIELDS, row, strict=True))) + b"\n" for row in chunk)


def _csv(events: EventQuerySet) -> Iterator[str]:
    yield ",".join(FIELDS) + "\r\n"
    for chunk in _chunks(events):
        text = io.StringIO()
        csv.writer(text).writerows([_cell(value) for value in row] for row in chunk)
        yield text.getvalue()


def _cell(value: object) -> object:
    """As JSON lines have it, so that nothing depends on the form. What a spreadsheet would run gets an apostrophe."""
    if value is None or isinstance(value, int):
        return value
    text = value if isinstance(value, str) else _json(value).decode().strip('"')
    return f"'{text}" if text.startswith(RUN_BY_SPREADSHEETS) else text


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


FORMS: dict[str, tuple[str, Callable[[EventQuerySet], Iterator[str] | Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "jsonl": ("application/x-ndjson", _json_lines),
}
