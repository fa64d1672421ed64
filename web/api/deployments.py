"""/api/v1/models/NAME/deployments/: where versions of a model run, as what deploys them reports it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.models import Deployment
from registry.queries import get_model, get_version
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of

Status = Deployment.Status


class DeploymentInput(Input):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The number that runs there.")
    status = serializers.ChoiceField(choices=Status.choices, default=Status.RUNNING)
    link = serializers.CharField(max_length=1000, default="", allow_blank=True, help_text="http or https.")


class DeploymentOutput(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField(source="version.version")
    status = serializers.ChoiceField(choices=Status.choices)
    link = serializers.CharField()
    reporter = serializers.CharField(source="reporter.username")
    reported_at = serializers.DateTimeField(help_text="When this was first said: the same again changes nothing.")
    behind = serializers.CharField(
        source="is_behind", help_text="Why this version should not run there: it is deleted, or holds nothing now."
    )


class Deployments(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(DeploymentOutput))
    def get(self, request: Request, name: str) -> Response:
        """Where versions of a model run; what was reported for the first time last is first."""
        model, asked = get_model(user_of(request), name), read(PageInput, request)
        rows = Deployment.objects.filter(model=model).with_rows()
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"])
        return page_response(DeploymentOutput(page.rows, many=True).data, page.next_cursor)


class DeploymentDetail(Endpoint):
    @extend_schema(request=DeploymentInput, responses=DeploymentOutput)
    def put(self, request: Request, name: str, deployment: str) -> Response:
        """Say which version runs at a place and how that stands, in place of what was said before."""
        given: dict[str, Any] = read(DeploymentInput, request)
        version = get_version(user_of(request), name, given.pop("version"))
        made = services.report_deployment(actor=user_of(request), version=version, name=deployment, **given)
        return Response(DeploymentOutput(Deployment.objects.with_rows().get(pk=made.pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, deployment: str) -> Response:
        """Forget a place where nothing of the model runs any more."""
        model = get_model(user_of(request), name)
        services.delete_deployment(actor=user_of(request), model=model, name=deployment)
        return Response(status=204)
