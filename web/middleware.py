"""Credentials, and nobody unknown past this point.

Order: Django's session authentication, then Credentials (an Authorization header overrides the session), then CSRF
for session users, then DenyByDefault.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from core.errors import CountersignError, NotPermitted, Unauthenticated
from web import errors
from web.authentication import user_of_header

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# The only routes that answer a stranger; /static/ is served before any of this.
OPEN_ROUTES = frozenset(
    {"sign_in", "sign_in_link", "health_live", "health_ready", "server_info", "databricks_handshake"}
)


class Credentials:
    """Set ``request.user`` and ``request.token`` from the Authorization header, when there is one.

    Such a request carries no cookie's authority, so it needs no CSRF token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.token = None  # type: ignore[attr-defined]
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if header and not request.path.startswith("/static/"):
            try:
                request.user, request.token = user_of_header(request, header)  # type: ignore[attr-defined]
            except Unauthenticated as error:
                return errors.response(request, error)
            request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        return self.get_response(request)


class DenyByDefault:
    """Answer a stranger only on the open routes, and let a read-only token only read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: object, _kwargs: object
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        if match is not None and match.view_name in OPEN_ROUTES:
            return None
        if not request.user.is_authenticated:
            if errors.is_api(request.path):
                return errors.response(request, Unauthenticated("Sign in with a token: none was sent."))
            return redirect(f"{reverse('sign_in')}?next={request.get_full_path()}")
        if self._is_refused_write(request, view):
            return errors.response(request, NotPermitted("This token may only read."))
        return None

    def _is_refused_write(self, request: HttpRequest, view: Callable[..., HttpResponse]) -> bool:
        token = getattr(request, "token", None)
        if token is None or not token.read_only or request.method in SAFE_METHODS:
            return False
        return not getattr(view, "only_reads", False)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, CountersignError):
            return errors.response(request, exception)
        return None
