"""/deliveries/: what was sent to whom, and what the other side answered."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import reads_everything
from core.errors import CountersignError, NotFound
from core.keyset import key_in
from core.prepared import planned_anew
from notifications import services
from notifications.models import Delivery
from notifications.queries import deliveries_visible_to
from web.signed_in import SignedInRequest

PAGE_SIZE = 50


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    state, before = request.GET.get("state", ""), request.GET.get("before", "")
    rows = deliveries_visible_to(request.user)
    if state in Delivery.State.values:
        rows = rows.filter(state=state)
    if (key := key_in(before)) is not None:
        rows = rows.filter(pk__lt=key)
    found = planned_anew(rows.order_by("-pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    rows_shown: list[dict[str, Any]] = [
        {
            "delivery": delivery,
            "tries": list(delivery.tries.all()),
            "again": services.can_send_again(request.user, delivery),
        }
        for delivery in shown
    ]
    context = {
        "rows": rows_shown,
        "why_not": next((row["again"].reason for row in rows_shown if not row["again"]), ""),
        "state": state,
        "states": Delivery.State.choices,
        "before": shown[-1].pk if len(found) > PAGE_SIZE else None,
        "is_first_page": not before,
        "sees_all": reads_everything(request.user),
    }
    return render(request, "deliveries/index.html", context)


@require_POST
def send_again(request: SignedInRequest, pk: int) -> HttpResponse:
    delivery = deliveries_visible_to(request.user).filter(pk=pk).first()
    if delivery is None:
        raise NotFound("There is no such delivery, or it is not for you to see.")
    try:
        services.send_again(actor=request.user, delivery=delivery)
    except CountersignError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "It is on its way again, with the same event key.")
    if request.POST.get("back") == "request" and delivery.event.request_id:
        return redirect("request", delivery.event.request_id)
    return redirect("deliveries")
