"""Who sits at the browser is asked for every page: by statements that are written once (core.prepared)."""

from __future__ import annotations

from datetime import datetime

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from accounts.models import User
from core.clock import now
from core.prepared import Prepared

_SESSION = Prepared(lambda key, moment: Session.objects.filter(session_key=key, expire_date__gt=moment), str, datetime)
_USER = Prepared(lambda pk: User.objects.filter(pk=pk), int)


class SessionStore(db.SessionStore):
    """Django's own, in the database, but for how a session is found."""

    def _validate_session_key(self, key: str) -> bool:
        """A cookie may hold any sign, also one that no database takes; our keys are of letters and digits."""
        return bool(key) and key.isascii() and key.isalnum() and super()._validate_session_key(key)  # type: ignore[misc]

    def _get_session_from_db(self) -> Session | None:
        found = _SESSION.first(self.session_key, now())
        if found is None:
            self._session_key = None
        return found


class Backend(AuthenticationBackend):
    """allauth's own, by name or address and password, but for how the person of a session is found."""

    def get_user(self, user_id: int) -> User | None:
        found = _USER.first(int(user_id))
        return found if found is not None and self.user_can_authenticate(found) else None
