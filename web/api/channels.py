"""/api/v1/channels/: where events go besides people's own mailboxes. For administrators."""

from __future__ import annotations

from collections.abc import Iterable

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.answers import require
from core.errors import NotFound
from notifications import services
from notifications.forms.standard import new_secret
from notifications.models import Channel
from registry.queries import names_of
from web.api.deliveries import DeliveryOutput
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of


class ChannelChangeInput(Input):
    name = serializers.CharField(max_length=100, required=False)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    target = serializers.CharField(
        max_length=2000, required=False, help_text="An address or a secret URL; kept encrypted, never shown."
    )
    secret = serializers.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="What signs the messages of a webhook; kept encrypted, never shown.",
    )
    authorization = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="The Authorization header that a webhook sends; kept encrypted, never shown.",
    )
    models_glob = serializers.CharField(max_length=256, required=False, help_text="A model's name; * and ? as usual.")
    kinds = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        max_length=100,
        help_text="Event kinds; empty means all that people are told of. Of another form: its names, at least one.",
    )
    is_active = serializers.BooleanField(required=False)


class ChannelInput(ChannelChangeInput):
    kind = serializers.ChoiceField(choices=Channel.Kind.choices)
    form = serializers.ChoiceField(
        choices=Channel.Form.choices, required=False, help_text="Of a webhook: how its messages look. Ours by default."
    )
    name = serializers.CharField(max_length=100)
    target = serializers.CharField(
        max_length=2000, help_text="An address or a secret URL; kept encrypted, never shown."
    )


class ChannelOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Channel.Kind.choices)
    form = serializers.CharField(help_text="Of a webhook; else empty.")
    name = serializers.CharField()
    description = serializers.CharField()
    models_glob = serializers.CharField()
    model = serializers.SerializerMethodField(help_text="The one model that it hears of, whatever its name; else null.")
    job_id = serializers.IntegerField(help_text="The job that it runs in a Databricks workspace; 0 for none.")
    kinds = serializers.ListField(child=serializers.CharField())
    has_secret = serializers.SerializerMethodField()
    has_authorization = serializers.SerializerMethodField()
    is_active = serializers.BooleanField()
    is_in_test_mode = serializers.BooleanField(help_text="Nothing but tests goes through it.")
    disabled_reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_model(self, channel: Channel) -> str | None:
        names: dict[int, str] = self.context["names"]
        return names.get(channel.model_id) if channel.model_id else None

    def get_has_secret(self, channel: Channel) -> bool:
        return bool(channel.secret)

    def get_has_authorization(self, channel: Channel) -> bool:
        return bool(channel.authorization)


class ChannelSecretOutput(ChannelOutput):
    secret = serializers.SerializerMethodField(
        help_text="The secret that was made by this call, shown this once; null when none was."
    )

    def get_secret(self, channel: Channel) -> str | None:
        secret: str | None = self.context["secret"]
        return secret


def _shown(*channels: Channel) -> list[dict[str, object]]:
    return [dict(row) for row in ChannelOutput(channels, many=True, context=_context(channels)).data]


def _context(channels: Iterable[Channel]) -> dict[str, object]:
    return {"names": names_of(channel.model_id for channel in channels if channel.model_id)}


def _find(request: Request, pk: int) -> Channel:
    require(services.can_manage_channels(user_of(request)))
    channel = Channel.objects.shared().filter(pk=pk).first()
    if channel is None:
        raise NotFound("There is no such channel.")
    return channel


class Channels(Endpoint):
    keeps_answers = False

    @extend_schema(parameters=[PageInput], responses=paged(ChannelOutput))
    def get(self, request: Request) -> Response:
        """The shared channels, the newest first."""
        require(services.can_manage_channels(user_of(request)))
        asked = read(PageInput, request)
        page = page_of(Channel.objects.shared(), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(_shown(*page.rows), page.next_cursor)

    @extend_schema(request=ChannelInput, responses={201: ChannelSecretOutput})
    def post(self, request: Request) -> Response:
        """Make a shared channel. A webhook of our own form gets a secret, unless one is given."""
        asked, made = read(ChannelInput, request), None
        is_ours = asked["kind"] == Channel.Kind.WEBHOOK and asked.get("form") in (None, Channel.Form.STANDARD)
        if is_ours and not asked.get("secret"):
            asked["secret"] = made = new_secret()
        channel = services.create_channel(actor=user_of(request), **asked)
        return Response(ChannelSecretOutput(channel, context={**_context([channel]), "secret": made}).data, status=201)


class ChannelDetail(Endpoint):
    @extend_schema(responses=ChannelOutput)
    def get(self, request: Request, pk: int) -> Response:
        """One of them."""
        return Response(_shown(_find(request, pk))[0])

    @extend_schema(request=ChannelChangeInput, responses=ChannelOutput)
    def patch(self, request: Request, pk: int) -> Response:
        """Change what is given; ``is_active`` switches it off, or on again."""
        asked = read(ChannelChangeInput, request)
        channel = services.update_channel(actor=user_of(request), channel=_find(request, pk), **asked)
        return Response(_shown(channel)[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Take it away. What was sent through it stays among the deliveries, what still waits is given up."""
        services.delete_channel(actor=user_of(request), channel=_find(request, pk))
        return Response(status=204)


class ChannelSecret(Endpoint):
    keeps_answers = False

    @extend_schema(request=None, responses=ChannelSecretOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Make a new secret for a webhook. The old one signs nothing from now on."""
        secret = new_secret()
        channel = services.update_channel(actor=user_of(request), channel=_find(request, pk), secret=secret)
        return Response(ChannelSecretOutput(channel, context={**_context([channel]), "secret": secret}).data)


class ChannelTest(Endpoint):
    @extend_schema(request=None, responses={201: DeliveryOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Send a test message now."""
        delivery = services.test_channel(actor=user_of(request), channel=_find(request, pk))
        return Response(DeliveryOutput(delivery).data, status=201)
