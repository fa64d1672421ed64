"""/api/v1/deliveries/: what was sent, and what the other side answered."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import NotFound
from notifications import services
from notifications.models import Delivery
from notifications.queries import deliveries_visible_to
from web.api.endpoint import Endpoint, PageInput, page_of, page_response, paged, read, user_of


class DeliveriesInput(PageInput):
    state = serializers.ChoiceField(choices=Delivery.State.choices, required=False)


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
    part = serializers.CharField(help_text="Which of several messages about the event, where the form makes several.")
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    tries = AttemptOutput(many=True)


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
