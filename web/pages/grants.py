"""What the forms that grant a level send: to whom, and which."""

from __future__ import annotations

from accounts.models import Level, Team, User
from accounts.services import find_team, find_user
from core.errors import Invalid


def holder_named(text: str) -> User | Team:
    """``user:mira`` or ``team:risk``."""
    kind, _, name = text.partition(":")
    if kind not in ("user", "team"):
        raise Invalid("Write user:mira or team:risk.", field="to")
    return find_user(name) if kind == "user" else find_team(name)


def level_named(text: str) -> Level:
    if text not in Level.__members__:
        raise Invalid(f"A level is one of {', '.join(Level.__members__)}.", field="level")
    return Level[text]
