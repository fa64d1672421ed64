"""/api/v1/models/: registered models, their tags, aliases and holders."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Level
from approvals import services as approvals
from approvals.returning import number_before
from registry import services
from registry.models import RegisteredModel, StageHolding
from registry.permissions import level_of
from registry.queries import get_model, get_version, target_named
from registry.search import search_models
from web.api import requests
from web.api.endpoint import MAX_PAGE, Endpoint, Input, page_response, paged, read, user_of
from web.gated import gated


class ModelsInput(Input):
    filter = serializers.CharField(
        default="",
        max_length=20_000,
        help_text="In MLflow's search language: name LIKE 'churn%' AND tags.tier = 'critical'.",
    )
    order_by = serializers.CharField(default="last_updated_timestamp DESC", max_length=200)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(max_length=5000, default="")


class ModelInput(Input):
    name = serializers.CharField(max_length=256, trim_whitespace=False)
    description = serializers.CharField(default="", allow_blank=True, trim_whitespace=False)
    tags = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False), default=dict)


class DescriptionInput(Input):
    description = serializers.CharField(allow_blank=True, trim_whitespace=False)


class TagInput(Input):
    key = serializers.CharField(max_length=250, trim_whitespace=False)
    value = serializers.CharField(default="", allow_blank=True, trim_whitespace=False)


class TagKeyInput(Input):
    key = serializers.CharField(max_length=250, trim_whitespace=False)


class AliasInput(Input):
    alias = serializers.CharField(max_length=255)
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class RollbackInput(Input):
    target = serializers.CharField(max_length=256, help_text="A stage (Production) or an alias (@champion).")
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, help_text="The one to return to: the holder's field before."
    )
    comment = serializers.CharField(default="", allow_blank=True)


class AliasNameInput(Input):
    alias = serializers.CharField(max_length=255)


class ModelOutput(serializers.Serializer):
    name = serializers.CharField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its page, from the root of the site.")
    description = serializers.CharField()
    owner = serializers.CharField(source="user.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    tags = serializers.DictField(child=serializers.CharField())
    aliases = serializers.DictField(child=serializers.IntegerField(), help_text="Alias to version number.")
    last_version = serializers.IntegerField(help_text="The highest number ever given; counts deleted versions.")


class HoldingOutput(serializers.Serializer):
    target = serializers.SerializerMethodField(help_text="A stage, or an alias as @name.")
    version = serializers.IntegerField(source="version.version")
    since = serializers.DateTimeField()
    set_by = serializers.CharField(source="set_by.username", default=None, allow_null=True)
    request = serializers.IntegerField(source="request_id", allow_null=True, help_text="The request that put it there.")
    before = serializers.IntegerField(allow_null=True, help_text="The version that a rollback returns to.")

    def get_target(self, holding: StageHolding) -> str:
        return f"@{holding.target}" if holding.target_kind == "alias" else holding.target


class ModelDetailOutput(ModelOutput):
    level = serializers.ChoiceField(choices=Level.names, help_text="How far you may go with it.")
    holders = HoldingOutput(many=True, help_text="Who holds each stage and alias now.")


def detail(request: Request, model: RegisteredModel, *, status: int = 200) -> Response:
    held = StageHolding.objects.filter(model=model, until=None).select_related("version", "set_by")
    holders = held.annotate(before=number_before()).order_by("-target_kind", "target", "-version__version")[:1000]
    shown: dict[str, Any] = {
        **ModelOutput(model).data,
        "level": level_of(user_of(request), model).name,
        "holders": HoldingOutput(holders, many=True).data,
    }
    return Response(shown, status=status)


class Models(Endpoint):
    @extend_schema(parameters=[ModelsInput], responses=paged(ModelOutput))
    def get(self, request: Request) -> Response:
        """The models you may read, the last changed first."""
        asked = read(ModelsInput, request)
        page = search_models(
            user_of(request),
            filter_text=asked["filter"],
            order_by=(asked["order_by"],),
            limit=asked["limit"],
            page_token=asked["cursor"],
        )
        readable = RegisteredModel.objects.live().visible_to(user_of(request)).select_related("user")
        rows = readable.in_bulk([found.id for found in page.rows])  # a search tells less than is shown here
        shown = [rows[found.id] for found in page.rows if found.id in rows]
        return page_response(ModelOutput(shown, many=True).data, page.next_page_token or None)

    @extend_schema(request=ModelInput, responses={201: ModelDetailOutput})
    def post(self, request: Request) -> Response:
        """Create a model; you manage it."""
        asked = read(ModelInput, request)
        return detail(request, services.create_model(actor=user_of(request), **asked), status=201)


class Model(Endpoint):
    @extend_schema(responses=ModelDetailOutput)
    def get(self, request: Request, name: str) -> Response:
        """One model, with who holds its stages and aliases."""
        return detail(request, get_model(user_of(request), name))

    @extend_schema(request=DescriptionInput, responses=ModelDetailOutput)
    def patch(self, request: Request, name: str) -> Response:
        """Write the description."""
        model = get_model(user_of(request), name)
        asked = read(DescriptionInput, request)
        return detail(request, services.update_model(actor=user_of(request), model=model, **asked))


class ModelTags(Endpoint):
    @extend_schema(request=TagInput, responses=ModelDetailOutput)
    def put(self, request: Request, name: str) -> Response:
        """Set a tag."""
        model = get_model(user_of(request), name)
        gated(services.set_model_tag)(actor=user_of(request), model=model, **read(TagInput, request))
        return detail(request, get_model(user_of(request), name))

    @extend_schema(parameters=[TagKeyInput], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete the tag ``key``."""
        model = get_model(user_of(request), name)
        gated(services.delete_model_tag)(actor=user_of(request), model=model, **read(TagKeyInput, request))
        return Response(status=204)


class ModelRollback(Endpoint):
    @extend_schema(request=RollbackInput, responses={201: requests.RequestDetailOutput})
    def post(self, request: Request, name: str) -> Response:
        """Ask that the version which held a stage or an alias before gets it again. The reviews of then count for it as
        far as nothing else has changed: it is applied at once when nothing is unmet."""
        asked = read(RollbackInput, request)
        opened = approvals.request_rollback(
            actor=user_of(request),
            model=get_model(user_of(request), name),
            target=target_named(asked["target"]),
            to=asked["version"],
            comment=asked["comment"],
        )
        return requests.detail(request, opened.pk, status=201)


class ModelAliases(Endpoint):
    @extend_schema(request=AliasInput, responses=ModelDetailOutput)
    def put(self, request: Request, name: str) -> Response:
        """Give an alias to a version at once, for those who may; a guarded alias needs a request."""
        asked = read(AliasInput, request)
        version = get_version(user_of(request), name, asked["version"])
        gated(services.set_alias)(actor=user_of(request), version=version, alias=asked["alias"])
        return detail(request, get_model(user_of(request), name))

    @extend_schema(parameters=[AliasNameInput], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Take the alias ``alias`` away."""
        model = get_model(user_of(request), name)
        gated(services.delete_alias)(actor=user_of(request), model=model, **read(AliasNameInput, request))
        return Response(status=204)
