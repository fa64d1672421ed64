"""/api/v1/models/NAME/history/ and /holders/: who held which stage and alias, over time and at one moment."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.history import MOST_HOLDERS, explained, first_after, holders_at, page_of, target_held
from core.clock import now
from registry.queries import get_model
from web.api.endpoint import Endpoint, Input, PageInput, page_response, paged, read, user_of

TARGET = "A stage (Production) or an alias (@champion); every one where it is left out."


class HistoryInput(PageInput):
    target = serializers.CharField(max_length=256, default="", help_text=TARGET)


class HoldersInput(Input):
    target = serializers.CharField(max_length=256, default="", help_text=TARGET)
    at = serializers.DateTimeField(required=False, help_text="Without a zone it is UTC; now where it is left out.")


class HeldOutput(serializers.Serializer):
    target = serializers.CharField(help_text="A stage, or an alias as @name.")
    version = serializers.IntegerField(source="number")
    is_deleted = serializers.BooleanField(help_text="Whether the version was deleted since.")
    since = serializers.DateTimeField(source="row.since")
    until = serializers.DateTimeField(source="row.until", allow_null=True, help_text="Null: it holds it now.")
    set_by = serializers.CharField(source="row.set_by.username", default=None, allow_null=True)
    request = serializers.IntegerField(
        source="row.request_id", allow_null=True, help_text="The request that put it there."
    )
    approved_by = serializers.ListField(child=serializers.CharField(), help_text="Whose approvals counted, by name.")
    digest = serializers.CharField(help_text="Of the files that were asked for; empty: they are not with us.")
    is_bypassed = serializers.BooleanField(help_text="Whether the request was carried out with something unmet.")
    returns_to = serializers.IntegerField(allow_null=True, help_text="The earlier request that this one returned to.")


class HoldersOutput(serializers.Serializer):
    at = serializers.DateTimeField()
    holders = HeldOutput(many=True, help_text=f"The first {MOST_HOLDERS}.")
    next = HeldOutput(allow_null=True, help_text="Where nothing held the target then: what came next.")


class ModelHistory(Endpoint):
    @extend_schema(parameters=[HistoryInput], responses=paged(HeldOutput))
    def get(self, request: Request, name: str) -> Response:
        """What held a stage or an alias, by deleted versions too; what began last is first."""
        asked = read(HistoryInput, request)
        model, target = get_model(user_of(request), name), target_held(asked["target"])
        rows, following = page_of(model, target, cursor=asked["cursor"], limit=asked["limit"])
        of = explained(rows)
        return page_response(HeldOutput([of[row.pk] for row in rows], many=True).data, following or None)


class ModelHolders(Endpoint):
    @extend_schema(parameters=[HoldersInput], responses=HoldersOutput)
    def get(self, request: Request, name: str) -> Response:
        """Who held a stage or an alias at a moment: at=2026-05-03T14:00Z."""
        asked = read(HoldersInput, request)
        model, target = get_model(user_of(request), name), target_held(asked["target"])
        at = asked.get("at") or now()
        held = holders_at(model, target, at)
        after = first_after(model, target, at) if target and not held else None
        of = explained([*held, *([after] if after else [])])
        shown = {"at": at, "holders": [of[row.pk] for row in held], "next": of[after.pk] if after else None}
        return Response(HoldersOutput(shown).data)
