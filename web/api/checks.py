"""/api/v1/models/NAME/versions/N/checks/: what machines report about a version."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.models import Check
from approvals.services import report_check
from registry.queries import get_version
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of


class CheckInput(Input):
    name = serializers.CharField(max_length=250, help_text="As the policy calls it.")
    status = serializers.ChoiceField(choices=Check.Status.choices)
    figure = serializers.CharField(max_length=100, required=False, allow_blank=True, help_text="Such as 212 of 212.")
    link = serializers.CharField(max_length=1000, required=False, allow_blank=True, help_text="Where to read more.")
    summary = serializers.CharField(required=False, allow_blank=True, help_text="Markdown.")
    digest = serializers.CharField(
        max_length=64,
        required=False,
        help_text="Of the bytes that were looked at; those that the version has unless told otherwise.",
    )


class CheckOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=Check.Status.choices)
    reporter = serializers.CharField(source="reporter.username")
    figure = serializers.CharField()
    link = serializers.CharField()
    summary = serializers.CharField()
    digest = serializers.CharField()
    is_current = serializers.BooleanField(help_text="The last word of this reporter on these bytes.")
    is_stale = serializers.BooleanField(help_text="Reported on other bytes: it counts for nothing.")
    reported_at = serializers.DateTimeField()


class Checks(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(CheckOutput))
    def get(self, request: Request, name: str, number: int) -> Response:
        """What was reported about a version, the newest first, replaced reports included."""
        version = get_version(user_of(request), name, number)
        asked = read(PageInput, request)
        page = page_of(version.checks.select_related("reporter"), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(CheckOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=CheckInput, responses={201: CheckOutput})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Say how a check stands. It counts where a policy asks for it from you."""
        version = get_version(user_of(request), name, number)
        given: dict[str, Any] = read(CheckInput, request)
        check = report_check(actor=user_of(request), version=version, **given)
        return Response(CheckOutput(check).data, status=201)
