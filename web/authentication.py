"""Who is asking: one answer for all doors, from a session, a bearer token, or basic with a token or a password."""

from __future__ import annotations

import base64
import binascii
import hashlib

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth import authenticate
from django.core.cache import cache
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.functional import SimpleLazyObject
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from accounts.models import EVERY_MODEL, Token, User
from accounts.services import looks_like_token, token_look_up
from core.errors import NotPermitted, Unauthenticated
from core.prepared import accompany, alone

BAD_CREDENTIALS = "The token or password is wrong, has expired or was revoked. Make a new token on the account page."
READ_ONLY = "This token may only read."
UNREADABLE = "The Authorization header cannot be read."
FAILURES_ALLOWED = 10
FAILURES_WINDOW = 300  # seconds
PASSWORD_REMEMBERED = 300  # seconds
MOST_REGULARS = 10_000
_regulars: set[str] = set()  # digests of tokens


class Caller:
    """Whom a token stands for.

    The token is looked up by ``settle``; or, for a view that begins with a look-up, along with that (``travel``), which
    saves about a third of the work of a short call. Who turns out to be nobody, or wants to write with a token that may
    only read, gets none of what was looked up and has written nothing, whatever the view made of it: the middleware
    settles before it answers. Nothing is looked up for a stranger: only a token that was good before travels. One for
    some models never does: what it may be given is known only with it.
    """

    def __init__(self, secret: str) -> None:
        self._look_up = token_look_up(secret)
        self._token: Token | None = None
        self._is_answered = self._writes = False

    @property
    def may_travel(self) -> bool:
        """Whether this process has seen the token be good before, which may have been revoked since, and does not know
        by now."""
        return not self._is_answered and self._digest in _regulars

    def travel(self, *, writes: bool) -> None:
        self._writes = writes
        accompany(self._look_up, self._take)

    def settle(self) -> Token:
        """Raises Unauthenticated or NotPermitted, as often as it is asked."""
        if not self._is_answered:
            accompany(self._look_up, self._take)
            alone()
        return self._allowed()

    def is_somebody(self) -> bool:
        try:
            self.settle()
        except Unauthenticated:
            return False
        return True

    @property
    def user(self) -> User:
        return self.settle().user

    @property
    def _digest(self) -> str:
        return str(self._look_up.values[0])

    def _take(self, rows: list[Token]) -> None:
        self._is_answered = True
        if rows:
            self._token = rows[0]
            self._token.user.reach = self._token.pattern
            bind_contextvars(user_id=self._token.user_id)
        if self._token and self._token.pattern == EVERY_MODEL:
            if len(_regulars) >= MOST_REGULARS:
                _regulars.clear()
            _regulars.add(self._digest)
        else:
            _regulars.discard(self._digest)
        self._allowed()

    def _allowed(self) -> Token:
        if self._token is None:
            raise Unauthenticated(BAD_CREDENTIALS)
        if self._writes and self._token.read_only:
            raise NotPermitted(READ_ONLY)
        return self._token


class OnTheWay(SimpleLazyObject):
    """The user of a token that travels: read once it is there, and known before that to be limited to no models."""

    reach = EVERY_MODEL


def caller_of_header(request: HttpRequest, header: str) -> Caller | User:
    """Whom an Authorization header names: by a token, or by a password, which is checked at once. Raises
    Unauthenticated; never falls back to a session."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return Caller(value.strip())
    if scheme.lower() == "basic":
        return _by_basic(request, value.strip())
    raise Unauthenticated("The Authorization header must be Bearer <token> or Basic <user:token>.")


def _by_basic(request: HttpRequest, encoded: str) -> Caller | User:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated(UNREADABLE) from error
    username, _, password = text.partition(":")
    if "\x00" in username:  # which PostgreSQL takes in no text
        raise Unauthenticated(UNREADABLE)
    if looks_like_token(password):
        caller = Caller(password)
        if caller.is_somebody():
            return caller
    return _by_password(request, username, password)


def _by_password(request: HttpRequest, username: str, password: str) -> User:
    """Guessing is limited per account, however its name is written, and address. Argon2 is slow by design, so a right
    password is remembered for a while, as a keyed hash that changes with the stored password; who is switched off is
    refused all the same."""
    called_so = User.objects.filter(Q(username__iexact=username) | Q(email__iexact=username), is_active=True)
    known = called_so.order_by("pk").first() if username else None
    source = f"{known.pk if known else username.lower()}|{request.META.get('REMOTE_ADDR', '')}"
    failures = "basic-failures:" + hashlib.sha256(source.encode()).hexdigest()
    if (cache.get(failures) or 0) >= FAILURES_ALLOWED:
        raise Unauthenticated("Too many wrong passwords. Wait five minutes, or use a token.")
    remembered = _fingerprint(known, password) if known else ""
    if known and cache.get(remembered) == known.pk:
        return known
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        cache.add(failures, 0, FAILURES_WINDOW)
        cache.incr(failures)
        raise Unauthenticated(BAD_CREDENTIALS)
    if known and user.pk == known.pk:
        cache.set(remembered, user.pk, PASSWORD_REMEMBERED)
    return user


def _fingerprint(user: User, password: str) -> str:
    value = f"{user.pk}|{user.password}|{password}"
    return "basic-password:" + salted_hmac("web.authentication", value, algorithm="sha256").hexdigest()


class FromMiddleware(SessionAuthentication):
    """Hands DRF the user that the middleware found. Its views are exempt from Django's CSRF check, so a session is
    checked here; a request with an Authorization header carries no cookie's authority and is not."""

    def authenticate(self, request: Request) -> tuple[User, Token | None] | None:
        user = request._request.user
        if not user.is_authenticated:
            return None
        self.enforce_csrf(request)
        return user, getattr(request._request, "token", None)

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="mlflow"'


class FromMiddlewareScheme(OpenApiAuthenticationExtension):
    target_class = FromMiddleware
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class ClosedSignup(DefaultAccountAdapter):
    """Accounts are made by administrators."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """The right password of an account that is switched off; allauth's own page would be one more open route."""
        return render(request, "account/account_inactive.html", status=403)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")
