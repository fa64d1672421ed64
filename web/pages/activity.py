"""/activity/: everything that happened, filtered, and as a file."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseBase
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_safe

from accounts.permissions import reads_everything
from approvals.queries import list_again
from core.errors import Invalid
from core.keyset import key_in
from core.prepared import planned_anew
from notifications.events import known_kinds
from notifications.models import EventQuerySet
from registry.queries import events_visible_to
from web.exports import FORMS, export
from web.pages.parts import part_or_page
from web.signed_in import SignedInRequest

PAGE_SIZE = 50
TEXTS = ("kind", "actor", "model")
NUMBERS = ("version", "request")
DAYS = ("since", "until")
# What a line says of an event, and of its actor.
_OF_A_LINE = (
    "kind", "summary", "path", "created_at",
    "actor__username", "actor__first_name", "actor__last_name", "actor__is_service",
)  # fmt: skip


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    given = _given(request)
    try:
        found, error = _page(request, given, request.GET.get("before", "")), ""
    except Invalid as refused:
        found, error = [], refused.message
    shown = found[:PAGE_SIZE]
    context = {
        "given": given,
        "query": urlencode(given),
        "kinds": [
            (noun, list(kinds)) for noun, kinds in groupby(sorted(known_kinds()), lambda kind: kind.split(".")[0])
        ],
        "events": shown,
        "before": shown[-1].pk if len(found) > PAGE_SIZE else None,
        "is_first_page": not request.GET.get("before"),
        "sees_all": reads_everything(request.user),
        "error": error,
    }
    url = f"{request.path}?{context['query']}" if given else request.path
    return part_or_page(request, "activity/index.html", context, part="activity/index.html#results", url=url)


@require_safe
def export_events(request: SignedInRequest) -> HttpResponseBase:
    form = request.GET.get("format", "")
    if form not in FORMS:
        raise Invalid("Name the format: csv or jsonl.", field="format")
    return export(request, _fitting(request, _given(request)), form)


def _given(request: SignedInRequest) -> dict[str, str]:
    """The filters that are filled in, as they were typed."""
    typed = {name: request.GET.get(name, "").strip() for name in (*TEXTS, *NUMBERS, *DAYS)}
    return {name: text for name, text in typed.items() if text}


def _fitting(request: SignedInRequest, given: dict[str, str]) -> EventQuerySet:
    """What this person may see of what fits. Raises Invalid for what is no number or no day."""
    asked: dict[str, Any] = {name: given[name] for name in TEXTS if name in given}
    for name in NUMBERS:
        if name in given and (number := key_in(given[name])) is not None:
            asked[name] = number
        elif name in given:
            raise Invalid(f"The {name} is a number.", field=name)
    for name in DAYS:
        if name in given:
            asked[name] = _day(given[name], name)
    return events_visible_to(request.user).fitting(**asked)


def _day(text: str, name: str) -> Any:
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise Invalid("Write a day as in 2026-05-03.", field=name)
    return day


def _page(request: SignedInRequest, given: dict[str, str], before: str) -> list[Any]:
    """One event more than a page has: then there are older ones."""
    key = key_in(before)
    if not given and key is None:
        return list_again(request.user, lambda: _newest(events_visible_to(request.user)), "activity")
    events = _fitting(request, given)
    return planned_anew(_newest(events if key is None else events.filter(pk__lt=key)))


def _newest(events: EventQuerySet) -> EventQuerySet:
    return events.select_related("actor").only(*_OF_A_LINE).order_by("-pk")[: PAGE_SIZE + 1]
