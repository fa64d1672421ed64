"""/channels/: where events go besides people's own mailboxes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core.answers import require
from core.errors import CountersignError
from notifications import services
from notifications.events import known_kinds
from notifications.forms import FORMS
from notifications.forms.standard import new_secret
from notifications.models import Channel
from registry.queries import names_of
from registry.webhooks import channels_visible_to
from web.signed_in import SignedInRequest

FIELDS = ("name", "target", "models_glob")


def _context(request: SignedInRequest) -> dict[str, Any]:
    channels = list(channels_visible_to(request.user).order_by("name")[:500])
    names = names_of(channel.model_id for channel in channels if channel.model_id)
    return {
        "rows": [{"channel": channel, "model": names.get(channel.model_id or 0, "")} for channel in channels],
        "kinds": Channel.Kind.choices,
        "event_kinds": sorted(known_kinds()),
        "can_manage": services.can_manage_channels(request.user),
    }


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    return render(request, "channels/index.html", _context(request))


@never_cache
@require_POST
def create(request: SignedInRequest) -> HttpResponse:
    """The secret of a webhook is in this answer and nowhere else."""
    typed = {key: request.POST.get(key, "").strip() for key in ("kind", *FIELDS)}
    chosen = request.POST.getlist("kinds")
    secret = new_secret() if typed["kind"] == Channel.Kind.WEBHOOK else ""
    try:
        channel = services.create_channel(
            actor=request.user,
            kind=typed["kind"],
            name=typed["name"],
            target=typed["target"],
            models_glob=typed["models_glob"],
            kinds=chosen,
            secret=secret,
        )
    except CountersignError as error:
        context = {**_context(request), "error": error.message, "typed": typed, "chosen": chosen}
        return render(request, "channels/index.html", context, status=422)
    if secret:
        return render(request, "channels/index.html", {**_context(request), "made": channel, "secret": secret})
    messages.success(request, f"The channel {channel.name} is there. Send a test to be sure.")
    return redirect("channels")


def _get(pk: int) -> Channel:
    return get_object_or_404(Channel.objects.shared(), pk=pk)


def _detail_context(channel: Channel) -> dict[str, Any]:
    known = FORMS[channel.form].kinds() if channel.form else known_kinds()
    return {
        "channel": channel,
        "model": names_of([channel.model_id]).get(channel.model_id, "") if channel.model_id else "",
        "typed": {"name": channel.name, "description": channel.description, "models_glob": channel.models_glob},
        "event_kinds": sorted(known),
        "chosen": channel.kinds,
    }


@require_http_methods(["GET", "HEAD", "POST"])
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """What can be changed. An address that is left empty stays."""
    require(services.can_manage_channels(request.user))
    channel = _get(pk)
    if request.method != "POST":
        return render(request, "channels/detail.html", _detail_context(channel))
    typed = {key: request.POST.get(key, "").strip() for key in (*FIELDS, "description")}
    chosen = request.POST.getlist("kinds")
    try:
        services.update_channel(
            actor=request.user,
            channel=channel,
            name=typed["name"],
            description=typed["description"],
            target=typed["target"] or None,
            models_glob=None if channel.model_id else typed["models_glob"],
            kinds=chosen,
        )
    except CountersignError as error:
        context = {**_detail_context(channel), "error": error.message, "typed": typed, "chosen": chosen}
        return render(request, "channels/detail.html", context, status=422)
    messages.success(request, f"The channel {typed['name']} is changed.")
    return redirect("channels")


@never_cache
@require_POST
def make_secret(request: SignedInRequest, pk: int) -> HttpResponse:
    """Show the new secret of a webhook, once."""
    channel, secret = _get(pk), new_secret()
    try:
        channel = services.update_channel(actor=request.user, channel=channel, secret=secret)
    except CountersignError as error:
        messages.error(request, error.message)
        return redirect("channels")
    return render(request, "channels/detail.html", {**_detail_context(channel), "secret": secret})


@require_POST
def delete(request: SignedInRequest, pk: int) -> HttpResponse:
    channel = _get(pk)
    try:
        services.delete_channel(actor=request.user, channel=channel)
    except CountersignError as error:
        messages.error(request, error.message)
        return redirect("channels")
    messages.success(request, f"The channel {channel.name} is deleted. What was sent through it stays.")
    return redirect("channels")


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
