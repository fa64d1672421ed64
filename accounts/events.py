"""What happens to people, teams, credentials and grants, and how it is recorded: by a function that the settings name
(``EVENT_RECORDER``), because events are kept in a room above this one. No secret is ever part of an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from django.conf import settings
from django.urls import reverse
from django.utils.module_loading import import_string

from accounts.models import Level, User
from core.announcements import Announcement


@cache
def _recorder() -> Callable[..., object]:
    return import_string(settings.EVENT_RECORDER)


def record(event: Announcement, *, actor: User | None) -> None:
    """Save ``event`` in the caller's transaction; ``actor`` None is the command line."""
    _recorder()(event, actor=actor)


@dataclass(frozen=True, kw_only=True)
class PeopleAnnouncement(Announcement):
    @property
    def path(self) -> str:
        return reverse("people")


@dataclass(frozen=True, kw_only=True)
class UserAnnouncement(PeopleAnnouncement):
    user: str

    def data(self) -> dict[str, Any]:
        return {"user": self.user}


@dataclass(frozen=True, kw_only=True)
class UserCreated(UserAnnouncement):
    kind: ClassVar[str] = "user.created"

    is_admin: bool
    is_service: bool
    owner: str

    def summary(self, actor: str) -> str:
        what = "administrator" if self.is_admin else "service account" if self.is_service else "account"
        return f"{actor} added the {what} {self.user}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"is_admin": self.is_admin, "is_service": self.is_service, "owner": self.owner}


@dataclass(frozen=True, kw_only=True)
class UserSwitchedOff(UserAnnouncement):
    kind: ClassVar[str] = "user.switched_off"

    def summary(self, actor: str) -> str:
        return f"{actor} switched {self.user} off."


@dataclass(frozen=True, kw_only=True)
class UserSwitchedOn(UserAnnouncement):
    kind: ClassVar[str] = "user.switched_on"

    def summary(self, actor: str) -> str:
        return f"{actor} switched {self.user} on."


@dataclass(frozen=True, kw_only=True)
class SignInLinkCreated(UserAnnouncement):
    kind: ClassVar[str] = "sign_in_link.created"

    def summary(self, actor: str) -> str:
        return f"{actor} made a sign-in link for {self.user}."


@dataclass(frozen=True, kw_only=True)
class TokenAnnouncement(Announcement):
    """``prefix`` is how lists show the token; it opens nothing."""

    user: str
    token: str
    prefix: str

    def data(self) -> dict[str, Any]:
        return {"user": self.user, "token": self.token, "prefix": self.prefix}


@dataclass(frozen=True, kw_only=True)
class TokenCreated(TokenAnnouncement):
    kind: ClassVar[str] = "token.created"

    read_only: bool
    models: str
    expires_at: str | None

    def summary(self, actor: str) -> str:
        return f"{actor} made the token {self.token} for {self.user}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"read_only": self.read_only, "models": self.models, "expires_at": self.expires_at}


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(TokenAnnouncement):
    kind: ClassVar[str] = "token.revoked"

    def summary(self, actor: str) -> str:
        return f"{actor} revoked the token {self.token} of {self.user}."


@dataclass(frozen=True, kw_only=True)
class TeamCreated(PeopleAnnouncement):
    kind: ClassVar[str] = "team.created"

    team: str

    def summary(self, actor: str) -> str:
        return f"{actor} added the team {self.team}."

    def data(self) -> dict[str, Any]:
        return {"team": self.team}


@dataclass(frozen=True, kw_only=True)
class TeamChanged(PeopleAnnouncement):
    kind: ClassVar[str] = "team.changed"

    team: str
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def summary(self, actor: str) -> str:
        did = [f"{verb} {', '.join(who)}" for verb, who in (("added", self.joined), ("removed", self.left)) if who]
        return f"{actor} {' and '.join(did)} {'in' if self.joined else 'from'} the team {self.team}."

    def data(self) -> dict[str, Any]:
        return {"team": self.team, "joined": list(self.joined), "left": list(self.left)}


@dataclass(frozen=True, kw_only=True)
class GrantChanged(PeopleAnnouncement):
    """On the model ``model_name``, or on every model whose name fits ``pattern``. ``Level.NONE`` is no grant."""

    kind: ClassVar[str] = "grant.changed"

    user: str = ""
    team: str = ""
    pattern: str = ""
    before: Level
    after: Level

    @property
    def path(self) -> str:
        return reverse("model", args=[self.model_name]) if self.model_name else super().path

    def summary(self, actor: str) -> str:
        who, on = self.user or f"the team {self.team}", self.model_name or self.pattern or "a model that is gone"
        if not self.after:
            return f"{actor} took the level {self.before.name} on {on} from {who}."
        return f"{actor} gave {who} the level {self.after.name} on {on}" + (
            f"; it was {self.before.name}." if self.before else "."
        )

    def data(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "team": self.team,
            "pattern": self.pattern,
            "before": self.before.name,
            "after": self.after.name,
        }
