"""/api/v1/models/NAME/grants/: who may do what with one model. Changed by who manages it."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Grant, Level, Team, User
from accounts.queries import find_holders, grants_reaching
from accounts.services import find_team, find_user
from core.errors import Invalid
from registry import services
from registry.models import RegisteredModel
from registry.queries import get_model
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of

MOST_GRANTS = 1000
LEVELS = [level.name for level in Level if level]


class LevelInput(Input):
    level = serializers.ChoiceField(choices=LEVELS)


class HolderInput(LevelInput):
    user = serializers.CharField(max_length=150, required=False, help_text="A person or a service account.")
    team = serializers.CharField(max_length=100, required=False)


class ModelGrantsInput(Input):
    grants = serializers.ListField(child=HolderInput(), max_length=MOST_GRANTS)


class ModelGrantOutput(serializers.Serializer):
    user = serializers.CharField(source="user.username", default=None, allow_null=True)
    team = serializers.CharField(source="team.name", default=None, allow_null=True)
    level = serializers.SerializerMethodField()
    pattern = serializers.CharField(help_text="Granted on all models whose name fits this; empty: on this model.")
    created_at = serializers.DateTimeField()

    def get_level(self, grant: Grant) -> str:
        return Level(grant.level).name


def _shown(request: Request, model: RegisteredModel, *, limit: int = 200, cursor: str = "") -> Response:
    page = page_of(grants_reaching(model_id=model.pk, model_name=model.name), limit=limit, cursor=cursor)
    return page_response(ModelGrantOutput(page.rows, many=True).data, page.next_cursor)


class ModelGrants(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(ModelGrantOutput))
    def get(self, request: Request, name: str) -> Response:
        """Who was granted what, on this model and on patterns that its name fits. Administrators manage every model."""
        model = get_model(user_of(request), name)
        return _shown(request, model, **read(PageInput, request))

    @extend_schema(request=ModelGrantsInput, responses=paged(ModelGrantOutput))
    def put(self, request: Request, name: str) -> Response:
        """Replace all grants on this very model. Leave yourself out and you lose it."""
        model, asked = get_model(user_of(request), name), read(ModelGrantsInput, request)["grants"]
        services.change_grants(actor=user_of(request), model=model, levels=_levels(asked), replace=True)
        return _shown(request, model)


def _levels(asked: list[dict[str, str]]) -> dict[User | Team, Level | None]:
    if any(("user" in entry) == ("team" in entry) for entry in asked):
        raise Invalid("Each grant is for one user or for one team.", field="grants")
    users, teams = find_holders(
        users=[entry["user"] for entry in asked if "user" in entry],
        teams=[entry["team"] for entry in asked if "team" in entry],
    )
    levels: dict[User | Team, Level | None] = {}
    for entry in asked:
        holder = users[entry["user"]] if "user" in entry else teams[entry["team"]]
        levels[holder] = Level[entry["level"]]
    if len(levels) < len(asked):
        raise Invalid("Name everybody once: one of them is there twice.", field="grants")
    return levels


class ModelGrant(Endpoint):
    """``kind`` is users or teams."""

    @extend_schema(request=LevelInput, responses=paged(ModelGrantOutput))
    def put(self, request: Request, name: str, kind: str, holder: str) -> Response:
        """Give one user or team a level on this model, in place of the one they were granted on it."""
        model, level = get_model(user_of(request), name), Level[read(LevelInput, request)["level"]]
        services.change_grants(actor=user_of(request), model=model, levels={_holder(kind, holder): level})
        return _shown(request, model)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, kind: str, holder: str) -> Response:
        """Take back what one user or team was granted on this model."""
        model = get_model(user_of(request), name)
        services.change_grants(actor=user_of(request), model=model, levels={_holder(kind, holder): None})
        return Response(status=204)


def _holder(kind: str, name: str) -> User | Team:
    return find_user(name) if kind == "users" else find_team(name)
