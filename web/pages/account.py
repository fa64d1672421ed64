"""/account/: who one is here, and one's tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account.views import PasswordChangeView, PasswordSetView
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import services
from accounts.models import EVERY_MODEL, Token
from core.clock import now
from core.errors import CountersignError, Invalid, NotPermitted
from web.signed_in import SignedInRequest

LIFETIMES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("0", "never expires"))


@never_cache
@require_safe
def detail(request: SignedInRequest) -> HttpResponse:
    return render(request, "account/detail.html", _context(request))


def _context(request: SignedInRequest) -> dict[str, Any]:
    return {
        "tokens": Token.objects.filter(user=request.user, revoked_at=None).order_by("-created_at")[:100],
        "teams": request.user.teams.all(),
        "now": now(),
        "lifetimes": LIFETIMES,
        "connect": _exports("<your token>"),
    }


def _exports(secret: str) -> str:
    return f"export MLFLOW_TRACKING_URI={settings.BASE_URL}\nexport MLFLOW_TRACKING_TOKEN={secret}"


@never_cache
@require_POST
def create_token(request: SignedInRequest) -> HttpResponse:
    """Show the new secret, once: it is in this answer and nowhere else."""
    name, days = request.POST.get("name", ""), request.POST.get("days", "90")
    try:
        if days not in dict(LIFETIMES):
            raise Invalid("Choose how long the token is valid.", field="days")
        lifetime = timedelta(days=int(days)) if days != "0" else None
        token, secret = services.create_token(
            actor=request.user,
            user=request.user,
            name=name,
            expires_in=lifetime,
            read_only=request.POST.get("read_only") == "on",
            pattern=request.POST.get("models", "").strip() or EVERY_MODEL,
        )
    except CountersignError as error:
        return render(
            request,
            "account/detail.html",
            {**_context(request), "error": error.message, "typed": request.POST},
            status=422,
        )
    return render(
        request,
        "account/detail.html",
        {**_context(request), "token": token, "secret": secret, "exports": _exports(secret)},
    )


@require_POST
def revoke_token(request: SignedInRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(Token, pk=pk, user=request.user)
    services.revoke_token(actor=request.user, token=token)
    messages.success(request, f"The token {token.name} is revoked: the next call with it is refused.")
    return redirect("account")


class _ForPeopleSignedIn:
    """A password outlives every token: a token makes none, and a service account has none."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("Authorization") or request.user.is_service:  # type: ignore[union-attr]
            raise NotPermitted("Sign in with the browser to set a password. A service account has none.")
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return answer


class PasswordChange(_ForPeopleSignedIn, PasswordChangeView):
    pass


class PasswordSet(_ForPeopleSignedIn, PasswordSetView):
    pass
