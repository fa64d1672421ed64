"""/api/v1/users/, /teams/ and /grants/: who is here and who may do what. For administrators."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import Grant, Level, Team, User
from accounts.permissions import can_administer
from core.answers import require
from core.errors import NotFound
from registry.queries import name_of, names_of
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of
from web.api.grants import LEVELS


class UserInput(Input):
    username = serializers.CharField(max_length=150)
    email = serializers.CharField(max_length=254, default="", allow_blank=True)
    is_admin = serializers.BooleanField(default=False)
    is_service = serializers.BooleanField(default=False)
    owner = serializers.CharField(max_length=150, required=False, help_text="Whom a service account belongs to.")


class UserChangeInput(Input):
    is_active = serializers.BooleanField(help_text="False: sessions, tokens and links of theirs end now.")


class TeamInput(Input):
    name = serializers.CharField(max_length=100)


class GrantsInput(PageInput):
    user = serializers.CharField(max_length=150, required=False)
    team = serializers.CharField(max_length=100, required=False)


class GrantInput(Input):
    level = serializers.ChoiceField(choices=LEVELS)
    pattern = serializers.CharField(max_length=256, help_text="A model's name; * and ? stand for other characters.")
    user = serializers.CharField(max_length=150, required=False)
    team = serializers.CharField(max_length=100, required=False)


class UserOutput(serializers.Serializer):
    username = serializers.CharField()
    name = serializers.CharField(source="display_name")
    email = serializers.CharField()
    is_active = serializers.BooleanField()
    is_admin = serializers.BooleanField(source="is_superuser")
    is_auditor = serializers.BooleanField()
    is_service = serializers.BooleanField()
    owner = serializers.CharField(source="owner.username", default=None, allow_null=True)


class TeamOutput(serializers.Serializer):
    name = serializers.CharField()
    members = serializers.SerializerMethodField()

    def get_members(self, team: Team) -> list[str]:
        return sorted(user.username for user in team.members.all())


class GrantOutput(serializers.Serializer):
    id = serializers.IntegerField()
    level = serializers.SerializerMethodField()
    user = serializers.CharField(source="user.username", default=None, allow_null=True)
    team = serializers.CharField(source="team.name", default=None, allow_null=True)
    pattern = serializers.CharField(help_text="Empty when it is on one model.")
    model = serializers.SerializerMethodField(help_text="The model's present name; null for a pattern.")
    created_at = serializers.DateTimeField()

    def get_level(self, grant: Grant) -> str:
        return Level(grant.level).name

    def get_model(self, grant: Grant) -> str | None:
        name: str | None = self.context["names"].get(grant.model_id)
        return name


class ForAdministrators(Endpoint):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        require(can_administer(user_of(request)))


class Users(ForAdministrators):
    @extend_schema(parameters=[PageInput], responses=paged(UserOutput))
    def get(self, request: Request) -> Response:
        """Everybody, the newest first."""
        asked = read(PageInput, request)
        page = page_of(User.objects.select_related("owner"), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(UserOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=UserInput, responses={201: UserOutput})
    def post(self, request: Request) -> Response:
        """Add a person or a service account, without a password: make a token, or a link by manage.py sign_in_link."""
        asked = read(UserInput, request)
        owner = services.find_user(asked.pop("owner")) if "owner" in asked else None
        user = services.create_user(actor=user_of(request), owner=owner, **asked)
        return Response(UserOutput(user).data, status=201)


class UserDetail(ForAdministrators):
    @extend_schema(request=UserChangeInput, responses=UserOutput)
    def patch(self, request: Request, username: str) -> Response:
        """Switch somebody off, or on again."""
        user = services.find_user(username)
        services.set_active(actor=user_of(request), user=user, **read(UserChangeInput, request))
        return Response(UserOutput(user).data)


class Teams(ForAdministrators):
    @extend_schema(parameters=[PageInput], responses=paged(TeamOutput))
    def get(self, request: Request) -> Response:
        """All teams, the newest first."""
        asked = read(PageInput, request)
        page = page_of(Team.objects.prefetch_related("members"), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(TeamOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=TeamInput, responses={201: TeamOutput})
    def post(self, request: Request) -> Response:
        """Make a team."""
        team = services.create_team(actor=user_of(request), **read(TeamInput, request))
        return Response(TeamOutput(team).data, status=201)


class TeamMember(ForAdministrators):
    @extend_schema(request=None, responses=TeamOutput)
    def put(self, request: Request, name: str, username: str) -> Response:
        """Put a person into a team."""
        team, user = services.find_team(name), services.find_user(username)
        services.add_to_team(actor=user_of(request), team=team, users=[user])
        return Response(TeamOutput(team).data)

    @extend_schema(responses=TeamOutput)
    def delete(self, request: Request, name: str, username: str) -> Response:
        """Take a person out of a team."""
        team, user = services.find_team(name), services.find_user(username)
        services.remove_from_team(actor=user_of(request), team=team, users=[user])
        return Response(TeamOutput(team).data)


def _shown(grants: list[Grant]) -> list[dict[str, Any]]:
    names = names_of(grant.model_id for grant in grants if grant.model_id)
    return list(GrantOutput(grants, many=True, context={"names": names}).data)


class Grants(ForAdministrators):
    @extend_schema(parameters=[GrantsInput], responses=paged(GrantOutput))
    def get(self, request: Request) -> Response:
        """All grants, the newest first."""
        asked = read(GrantsInput, request)
        rows = Grant.objects.select_related("user", "team")
        if "user" in asked:
            rows = rows.filter(user__username=asked["user"])
        if "team" in asked:
            rows = rows.filter(team__name=asked["team"])
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"])
        return page_response(_shown(page.rows), page.next_cursor)

    @extend_schema(request=GrantInput, responses={201: GrantOutput})
    def post(self, request: Request) -> Response:
        """Give a person or a team a level; granting again on the same pattern replaces the level."""
        asked = read(GrantInput, request)
        grant = services.grant(
            actor=user_of(request),
            level=Level[asked["level"]],
            user=services.find_user(asked["user"]) if "user" in asked else None,
            team=services.find_team(asked["team"]) if "team" in asked else None,
            pattern=asked["pattern"],
        )
        return Response(_shown([grant])[0], status=201)


class GrantDetail(ForAdministrators):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Take a grant back."""
        grant = Grant.objects.select_related("user", "team").filter(pk=pk).first()
        if grant is None:
            raise NotFound("There is no such grant.")
        services.revoke_grant(actor=user_of(request), grant=grant, model_name=name_of(grant.model_id))
        return Response(status=204)
