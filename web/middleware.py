"""Who calls, from where, one line of log for it, and nobody unknown past this point.

Order: the log of requests and what no page may do, who is signed in by a session, then Credentials (an Authorization
header overrides the session), then DenyByDefault, then CSRF for session users: a stranger hears that they are one, not
that a form has expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import structlog
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect
from structlog.contextvars import bind_contextvars, clear_contextvars

from accounts.models import User
from accounts.services import note_use
from accounts.sessions import user_of
from core.errors import CountersignError, Invalid, NotPermitted, TooMany, Unauthenticated
from core.prepared import forget_companion
from web import errors
from web.authentication import BAD_CREDENTIALS, READ_ONLY, Caller, OnTheWay, caller_of_header
from web.limits import take_one

log = structlog.get_logger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BROWSER_HEADERS = ("Origin", "Referer", "Sec-Fetch-Site")

# The only routes that answer a stranger; /static/ is served before any of this.
OPEN_ROUTES = frozenset(
    {"sign_in", "sign_in_link", "health_live", "health_ready", "server_info", "databricks_handshake"}
)


Respond = Callable[[HttpRequest], HttpResponseBase]


def request_log(get_response: Respond) -> Respond:
    """One line per request, and its number, its address and, once known, its user in every line written meanwhile."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        request.META["REMOTE_ADDR"] = _address(request)
        clear_contextvars()
        bind_contextvars(request_id=uuid4().hex, ip=request.META["REMOTE_ADDR"])
        began = time.perf_counter()
        response = get_response(request)
        if not (response.status_code == 200 and f"{request.path}/".startswith("/health/")):
            log.info(
                "request_finished",
                request=f"{request.method} {_without_secret(request)}",
                code=response.status_code,
                ms=round((time.perf_counter() - began) * 1000, 1),
            )
        return response

    return respond


def _address(request: HttpRequest) -> str:
    """Behind a proxy, the address that the proxy saw, which it appends to what strangers may have written before it."""
    peer: str = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        with suppress(ValueError):
            return str(ip_address(request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()))
    return peer


def _without_secret(request: HttpRequest) -> str:
    """A sign-in link opens an account until it is used, so the log does not have it."""
    before, link, _ = request.get_full_path().partition("/sign-in/link/")
    return f"{before}{link}…" if link else before


def security_headers(get_response: Respond) -> Respond:
    """What no page may do. An answer with a stricter policy of its own, as a downloaded file has, keeps it."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        return response

    return respond


class SignedIn(AuthenticationMiddleware):
    """Set ``request.user`` from the session, as Django does, asking less."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: user_of(request))  # type: ignore[assignment]


class Credentials:
    """Set ``request.user`` and ``request.token`` from the Authorization header, when there is one.

    Such a request carries no cookie's authority, so a client needs no CSRF token. A browser does: it sends a basic
    password that was once typed into its dialog along with the forms of any other site.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.token = None  # type: ignore[attr-defined]
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header or request.path.startswith("/static/"):
            return self.get_response(request)
        try:
            take_one(header)
            caller = caller_of_header(request, header)
        except (TooMany, Unauthenticated) as error:
            return errors.response(request, error)
        request._dont_enforce_csrf_checks = not _is_sent_by_browser(request, header)  # type: ignore[attr-defined]
        if isinstance(caller, User):
            request.user = caller
            return self.get_response(request)
        return self._respond_to(caller, request)

    def _respond_to(self, caller: Caller, request: HttpRequest) -> HttpResponseBase:
        """Nothing is answered to a token that is none or may not do this, whatever became of its request. Only some
        views of the MLflow door begin before it is looked up (``DenyByDefault``)."""
        if not errors.speaks_mlflow(request.path) and not caller.is_somebody():
            return _to_nobody(request)
        request.caller = caller  # type: ignore[attr-defined]
        request.token = SimpleLazyObject(caller.settle)  # type: ignore[attr-defined]
        request.user = SimpleLazyObject(lambda: caller.user)  # type: ignore[assignment]
        try:
            answer = self.get_response(request)
            token = caller.settle()
        except Unauthenticated:
            return _to_nobody(request)
        except NotPermitted as refusal:
            return errors.response(request, refusal)
        finally:
            forget_companion()
        note_use(token)
        return answer


def _to_nobody(request: HttpRequest) -> HttpResponse:
    request.user, request.token = AnonymousUser(), None  # type: ignore[attr-defined]
    return errors.response(request, Unauthenticated(BAD_CREDENTIALS))


def _is_sent_by_browser(request: HttpRequest, header: str) -> bool:
    """Whether the header may have come without the page's doing: a script sets Bearer itself, never a browser."""
    return header[:6].lower() == "basic " and any(name in request.headers for name in BROWSER_HEADERS)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """And back from there; after a form, to the page that the form was on, where the browser keeps what was typed."""
    was_on = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if request.headers.get("HX-Request"):
        answer = HttpResponseClientRedirect(_sign_in_again(request, was_on) or reverse("sign_in"))
        answer.status_code = 401  # a script must not take it for success
        return answer
    if request.method in SAFE_METHODS:
        return redirect_to_login(request.get_full_path(), reverse("sign_in"))
    again = _sign_in_again(request, was_on)
    return redirect(again) if again else redirect_to_login("/", reverse("sign_in"))


def _sign_in_again(request: HttpRequest, page: str) -> str:
    """The page of signing in that leads back to this one of ours and says what happened; empty when it is none."""
    if not page or not url_has_allowed_host_and_scheme(page, {request.get_host()}):
        return ""
    was_on = urlsplit(page)
    back = f"{was_on.path}?{was_on.query}" if was_on.query else was_on.path
    return f"{reverse('sign_in')}?{urlencode({'next': back, 'expired': 1})}"


def _only_reads(view: Callable[..., HttpResponse]) -> bool:
    """A function of the MLflow door carries the mark itself, a class of our own API on the class."""
    return getattr(getattr(view, "cls", view), "only_reads", False)


def _looks_up(request: HttpRequest, view: Callable[..., HttpResponse]) -> bool:
    """Whether the caller may be looked up along with what the view looks up."""
    return request.method in getattr(view, "looks_up_by", ())


def _writes(request: HttpRequest, view: Callable[..., HttpResponse]) -> bool:
    return request.method not in SAFE_METHODS and not _only_reads(view)


class DenyByDefault:
    """Answer a stranger only on the open routes, and let a read-only token only read."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        if isinstance(answer, HttpResponse) and answer.status_code == 405 and not answer.content:
            return errors.not_allowed(request, answer)
        return answer

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: object, _kwargs: object
    ) -> HttpResponseBase | None:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return errors.response(request, Invalid("An address holds text only, this one has a NUL character."))
        match = request.resolver_match
        if match is not None and match.view_name in OPEN_ROUTES:
            return None
        caller = getattr(request, "caller", None)
        if caller is not None and caller.may_travel and _looks_up(request, view):
            caller.travel(writes=_writes(request, view))
            request.user = OnTheWay(lambda: caller.user)  # type: ignore[assignment]
            return None
        if caller is not None and not caller.is_somebody():
            return _to_nobody(request)
        if not request.user.is_authenticated:
            if errors.is_api(request.path):
                return errors.response(request, Unauthenticated("Sign in with a token: none was sent."))
            return _to_sign_in(request)
        bind_contextvars(user_id=request.user.pk)
        token = getattr(request, "token", None)
        if token is not None and token.read_only and _writes(request, view):
            return errors.response(request, NotPermitted(READ_ONLY))
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, CountersignError):
            return errors.response(request, exception)
        return None
