"""/api/v1/events/: what happened, the newest first."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.queries import events_visible_to
from web.api.endpoint import Endpoint, PageInput, page_of, page_response, paged, read, user_of


class EventsInput(PageInput):
    kind = serializers.CharField(max_length=64, required=False, help_text="As in transition.applied.")
    model = serializers.CharField(max_length=256, required=False)
    request = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


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
        rows = events_visible_to(user_of(request)).select_related("actor")
        if "kind" in asked:
            rows = rows.filter(kind=asked["kind"])
        if "model" in asked:
            rows = rows.filter(model_name=asked["model"])
        if "request" in asked:
            rows = rows.filter(request_id=asked["request"])
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"])
        shown = EventOutput(page.rows, many=True)
        return page_response(shown.data, page.next_cursor)  # type: ignore[arg-type]
