"""/api/v1/deliveries/ and /api/v1/channels/: where events go, and what the other side answered."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.answers import require
from core.errors import NotFound
from notifications import services
from notifications.models import Channel, Delivery
from notifications.queries import deliveries_visible_to
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of


class DeliveriesInput(PageInput):
    state = serializers.ChoiceField(choices=Delivery.State.choices, required=False)


class ChannelInput(Input):
    kind = serializers.ChoiceField(choices=Channel.Kind.choices)
    name = serializers.CharField(max_length=100)
    target = serializers.CharField(
        max_length=2000, help_text="An address or a secret URL; kept encrypted, never shown."
    )
    models_glob = serializers.CharField(max_length=256, default="*")
    kinds = serializers.ListField(
        child=serializers.CharField(max_length=64),
        default=list,
        max_length=100,
        help_text="Event kinds; empty means all.",
    )


class ChannelChangeInput(Input):
    is_active = serializers.BooleanField()


class AttemptOutput(serializers.Serializer):
    at = serializers.DateTimeField()
    succeeded = serializers.BooleanField()
    status_code = serializers.IntegerField(allow_null=True)
    answer = serializers.CharField()
    duration_ms = serializers.IntegerField()


class DeliveryOutput(serializers.Serializer):
    id = serializers.IntegerField()
    event = serializers.UUIDField(source="event.key")
    kind = serializers.CharField(source="event.kind")
    channel = serializers.CharField(source="channel.name")
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    tries = AttemptOutput(many=True)


class ChannelOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Channel.Kind.choices)
    name = serializers.CharField()
    models_glob = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    is_active = serializers.BooleanField()
    disabled_reason = serializers.CharField()
    created_at = serializers.DateTimeField()


class Deliveries(Endpoint):
    @extend_schema(parameters=[DeliveriesInput], responses=paged(DeliveryOutput))
    def get(self, request: Request) -> Response:
        """What was sent to you; administrators and auditors see all."""
        asked = read(DeliveriesInput, request)
        rows = deliveries_visible_to(user_of(request))
        if "state" in asked:
            rows = rows.filter(state=asked["state"])
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"])
        return page_response(DeliveryOutput(page.rows, many=True).data, page.next_cursor)


class DeliveryAgain(Endpoint):
    @extend_schema(request=None, responses=DeliveryOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Send it again, with the same event key."""
        rows = deliveries_visible_to(user_of(request)).filter(pk=pk)
        delivery = rows.first()
        if delivery is None:
            raise NotFound("There is no such delivery, or it is not for you to see.")
        services.send_again(actor=user_of(request), delivery=delivery)
        return Response(DeliveryOutput(rows.get()).data)


def _find_channel(request: Request, pk: int) -> Channel:
    require(services.can_manage_channels(user_of(request)))
    channel = Channel.objects.filter(pk=pk, user=None).first()
    if channel is None:
        raise NotFound("There is no such channel.")
    return channel


class Channels(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(ChannelOutput))
    def get(self, request: Request) -> Response:
        """The shared channels, the newest first. For administrators."""
        require(services.can_manage_channels(user_of(request)))
        asked = read(PageInput, request)
        page = page_of(Channel.objects.filter(user=None), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(ChannelOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=ChannelInput, responses={201: ChannelOutput})
    def post(self, request: Request) -> Response:
        """Make a shared channel. For administrators."""
        channel = services.create_channel(actor=user_of(request), **read(ChannelInput, request))
        return Response(ChannelOutput(channel).data, status=201)


class ChannelDetail(Endpoint):
    @extend_schema(request=ChannelChangeInput, responses=ChannelOutput)
    def patch(self, request: Request, pk: int) -> Response:
        """Switch a channel off, or on again. For administrators."""
        channel = _find_channel(request, pk)
        services.set_channel_active(actor=user_of(request), channel=channel, **read(ChannelChangeInput, request))
        return Response(ChannelOutput(_find_channel(request, pk)).data)


class ChannelTest(Endpoint):
    @extend_schema(request=None, responses={201: DeliveryOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Send a test message now. For administrators."""
        delivery = services.test_channel(actor=user_of(request), channel=_find_channel(request, pk))
        return Response(DeliveryOutput(delivery).data, status=201)
