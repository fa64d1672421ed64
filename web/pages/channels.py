"""/channels/: where events go besides people's own mailboxes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from core.errors import CountersignError
from notifications import services
from notifications.events import known_kinds
from notifications.models import Channel
from web.signed_in import SignedInRequest


def _context(request: SignedInRequest) -> dict[str, Any]:
    return {
        "channels": Channel.objects.filter(user=None).order_by("name")[:500],
        "kinds": Channel.Kind.choices,
        "event_kinds": sorted(known_kinds()),
        "can_manage": services.can_manage_channels(request.user),
    }


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    return render(request, "channels/index.html", _context(request))


@require_POST
def create(request: SignedInRequest) -> HttpResponse:
    typed = {key: request.POST.get(key, "").strip() for key in ("kind", "name", "target", "models_glob")}
    chosen = request.POST.getlist("kinds")
    try:
        channel = services.create_channel(
            actor=request.user,
            kind=typed["kind"],
            name=typed["name"],
            target=typed["target"],
            models_glob=typed["models_glob"],
            kinds=chosen,
        )
    except CountersignError as error:
        context = {**_context(request), "error": error.message, "typed": typed, "chosen": chosen}
        return render(request, "channels/index.html", context, status=422)
    messages.success(request, f"The channel {channel.name} is there. Send a test to be sure.")
    return redirect("channels")


def _get(pk: int) -> Channel:
    return get_object_or_404(Channel, pk=pk, user=None)


@require_POST
def test(request: SignedInRequest, pk: int) -> HttpResponse:
    try:
        services.test_channel(actor=request.user, channel=_get(pk))
    except CountersignError as error:
        messages.error(request, error.message)
        return redirect("channels")
    messages.success(request, "A test is on its way; its answer appears here.")
    return redirect("deliveries")


@require_POST
def switch(request: SignedInRequest, pk: int) -> HttpResponse:
    """On or off, as the form says."""
    channel = _get(pk)
    try:
        services.set_channel_active(actor=request.user, channel=channel, is_active=request.POST.get("to") == "on")
    except CountersignError as error:
        messages.error(request, error.message)
    return redirect("channels")
