"""Who sits at the browser is asked for every page: by a statement that is written once (core.prepared), and finds the
session, whose it is, and what they were granted."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends import db
from django.http import HttpRequest

from accounts.models import Session, User
from accounts.permissions import grants_along, take_grants, with_grants
from core.clock import now
from core.prepared import Prepared

_SESSION = Prepared(
    lambda key, moment: with_grants(
        Session.objects.select_related("user").filter(session_key=key, expire_date__gt=moment), of="user"
    ),
    str,
    datetime,
)
_USER = Prepared(lambda pk: User.objects.filter(pk=pk), int)
READS = ("GET", "HEAD")
_found: ContextVar[User | None] = ContextVar("found", default=None)  # along with the session that is being judged


class SessionStore(db.SessionStore):
    """Django's own, in the database, but for how a session is found, and that it is known whose it is."""

    row: Session | None = None  # as it came from the database, with its user; whose it is by now says what it holds

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create(self) -> None:
        """Somebody signs in: the moment at which the sessions that have expired go."""
        self.clear_expired()
        super().create()

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        return row

    def _validate_session_key(self, key: str) -> bool:
        """A cookie may hold any sign, also one that no database takes; our keys are of letters and digits."""
        return bool(key) and key.isascii() and key.isalnum() and super()._validate_session_key(key)  # type: ignore[misc]

    def _get_session_from_db(self) -> Session | None:
        self.row = _SESSION.first(self.session_key, now())
        if self.row is None:
            self._session_key = None
        return self.row


class Backend(AuthenticationBackend):
    """allauth's own, by name or address and password, but for how the person of a session is found."""

    def get_user(self, user_id: int) -> User | None:
        found = _found.get()
        if found is None or found.pk != int(user_id):
            found = _USER.first(int(user_id))
        return found if found is not None and self.user_can_authenticate(found) else None


def user_of(request: HttpRequest) -> User | AnonymousUser:
    """Who is signed in, as Django judges it: by what the session holds, the password since, and whether they are
    active. Only that who came along with the session is not looked up again, nor what they were granted, where nothing
    is changed: a change asks for that when it has its locks."""
    session: SessionStore = request.session  # type: ignore[assignment]
    session.get(SESSION_KEY)  # which reads the row
    along = _found.set(session.row.user if session.row else None)
    try:
        user = get_user(request)
    finally:
        _found.reset(along)
    if session.row and user == session.row.user and request.method in READS:
        take_grants(user, grants_along(session.row))
    return user
