"""/api/v1/events/: what happened, the newest first, by pages or as one file."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.queries import events_visible_to
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of
from web.exports import FORMS, export


class EventsFilter(Input):
    kind = serializers.CharField(max_length=64, required=False, help_text="As in transition.applied.")
    actor = serializers.CharField(max_length=150, required=False, help_text="Whose act it was: the name of an account.")
    model = serializers.CharField(max_length=256, required=False, help_text="By the name that it had then.")
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False, help_text="With its model.")
    request = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    since = serializers.DateField(required=False, help_text="The first day, in UTC.")
    until = serializers.DateField(required=False, help_text="The last day, in UTC.")


class EventsInput(EventsFilter, PageInput):
    """Which events, and which page of them."""


class ExportInput(EventsFilter):
    format = serializers.ChoiceField(choices=list(FORMS), help_text="jsonl: each line as in the list of events.")


class EventOutput(serializers.Serializer):
    key = serializers.UUIDField(help_text="The same in every message about it.")
    kind = serializers.CharField()
    actor = serializers.CharField(source="actor.username", default=None, allow_null=True, help_text="Null: the system.")
    model = serializers.CharField(source="model_name")
    version = serializers.IntegerField(allow_null=True)
    request = serializers.IntegerField(source="request_id", allow_null=True)
    summary = serializers.CharField()
    path = serializers.CharField(help_text="The page to open, from the root of the site.")
    data = serializers.DictField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()


class Events(Endpoint):
    @extend_schema(parameters=[EventsInput], responses=paged(EventOutput))
    def get(self, request: Request) -> Response:
        """Events about models you may read; administrators and auditors see those of the house too."""
        asked = read(EventsInput, request)
        limit, cursor = asked.pop("limit"), asked.pop("cursor")
        rows = events_visible_to(user_of(request)).fitting(**asked).select_related("actor")
        page = page_of(rows, limit=limit, cursor=cursor)
        shown = EventOutput(page.rows, many=True)
        return page_response(shown.data, page.next_cursor)  # type: ignore[arg-type]


class EventsExport(Endpoint):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Errors are JSON; else what comes is said by ``format``, which the framework would take for its own."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(parameters=[ExportInput], responses={(200, kind): str for kind, _ in FORMS.values()})
    def get(self, request: Request) -> HttpResponseBase:
        """All that fits, the newest first, as a file that is written while it is read: there is no limit."""
        asked = read(ExportInput, request)
        form = asked.pop("format")
        return export(request, events_visible_to(user_of(request)).fitting(**asked), form)
