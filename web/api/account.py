"""/api/v1/me/ and /api/v1/tokens/: who one is here, and one's credentials."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import EVERY_MODEL, Token, User
from core.errors import NotFound
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of


class TokenInput(Input):
    name = serializers.CharField(max_length=100)
    expires_in_days = serializers.IntegerField(
        min_value=1,
        max_value=services.LONGEST_LIFETIME.days,
        default=90,
        allow_null=True,
        help_text="Null: it never expires.",
    )
    read_only = serializers.BooleanField(default=False)  # type: ignore[assignment]
    models = serializers.CharField(
        max_length=256, default=EVERY_MODEL, help_text="The names of the models it is for; * and ? stand for others."
    )
    user = serializers.CharField(
        max_length=150,
        required=False,
        help_text="A service account of yours; administrators: anybody. Else it is yours.",
    )


class TokenOutput(serializers.Serializer):
    id = serializers.IntegerField()
    user = serializers.CharField(source="user.username")
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="Its first characters, to know it again by.")
    read_only = serializers.BooleanField()  # type: ignore[assignment]
    models = serializers.CharField(source="pattern", help_text="The names of the models it is for: * is all.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewTokenOutput(TokenOutput):
    secret = serializers.CharField(help_text="Shown this once.")


class MeOutput(serializers.Serializer):
    username = serializers.CharField()
    name = serializers.CharField(source="display_name")
    email = serializers.CharField()
    is_admin = serializers.BooleanField(source="is_superuser")
    is_auditor = serializers.BooleanField()
    is_service = serializers.BooleanField()
    teams = serializers.SerializerMethodField()
    token = serializers.SerializerMethodField(
        help_text="The token of this very call; null for a password or a session."
    )

    def get_teams(self, user: User) -> list[str]:
        return list(user.teams.order_by("name").values_list("name", flat=True))

    @extend_schema_field(TokenOutput(allow_null=True))
    def get_token(self, user: User) -> dict[str, Any] | None:
        token = self.context["token"]
        return TokenOutput(token).data if token else None


class Me(Endpoint):
    @extend_schema(responses=MeOutput)
    def get(self, request: Request) -> Response:
        """Who you are here."""
        return Response(MeOutput(user_of(request), context={"token": request.auth}).data)


def _own(user: User) -> QuerySet[Token]:
    """One's own and those of one's service accounts; administrators also revoke others', by id."""
    return Token.objects.filter(Q(user=user) | Q(user__owner=user), revoked_at=None).select_related("user")


class Tokens(Endpoint):
    keeps_answers = False

    @extend_schema(parameters=[PageInput], responses=paged(TokenOutput))
    def get(self, request: Request) -> Response:
        """Your tokens and those of your service accounts, the newest first."""
        asked = read(PageInput, request)
        page = page_of(_own(user_of(request)), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(TokenOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=TokenInput, responses={201: NewTokenOutput})
    def post(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer and nowhere else."""
        actor, asked = user_of(request), read(TokenInput, request)
        days = asked["expires_in_days"]
        token, secret = services.create_token(
            actor=actor,
            user=services.find_user(asked["user"]) if "user" in asked else actor,
            name=asked["name"],
            expires_in=timedelta(days=days) if days else None,
            read_only=asked["read_only"],
            pattern=asked["models"],
        )
        shown: dict[str, Any] = {**TokenOutput(token).data, "secret": secret}
        return Response(shown, status=201)


class TokenDetail(Endpoint):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Revoke a token: the next call with it is refused."""
        user = user_of(request)
        tokens = Token.objects.filter(revoked_at=None).select_related("user") if user.is_superuser else _own(user)
        token = tokens.filter(pk=pk).first()
        if token is None:
            raise NotFound("There is no such token, or it is not yours.")
        services.revoke_token(actor=user, token=token)
        return Response(status=204)
