"""What somebody's grants amount to, and who administers."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, Model, OuterRef, Q, QuerySet

from accounts.models import EVERY_MODEL, Grant, Level, User
from core.answers import YES, Answer, no
from core.listing import ListOf
from core.prepared import Prepared

M = TypeVar("M", bound=Model)

_GRANTS = Prepared(lambda user: Grant.objects.filter(Q(user=user) | Q(team__memberships__user=user)), int)
_LISTED = ("id", "user_id", "team_id", "level", "model_id", "pattern")


def is_unlimited(user: User) -> Answer:
    """Whether ``user`` asks by a credential that reaches every model."""
    if user.reach == EVERY_MODEL:
        return YES
    return no(f"This token is for the models {user.reach} only. Sign in, or use a token for all models.")


def can_reach(user: User, model_name: str) -> Answer:
    """Whether the credential by which ``user`` asks is for a model of this name; nobody's level counts beyond it."""
    return YES if fits(model_name, user.reach) else is_unlimited(user)


def is_administrator(user: User, otherwise: str) -> Answer:
    """Who administers, by a credential that is not limited; ``otherwise`` says why nobody else may do this."""
    return is_unlimited(user) if user.is_active and user.is_superuser else no(otherwise)


def reads_everything(user: User) -> bool:
    """Administrators and auditors, by a credential that is not limited: what happened to the house, too."""
    return bool(is_unlimited(user)) and (user.is_superuser or user.is_auditor)


def can_administer(user: User) -> Answer:
    """People, teams and grants on patterns of names."""
    return is_administrator(user, "Only an administrator may do this.")


def administrators() -> list[int]:
    """The ids of those who are told when something is wrong with the house."""
    return list(User.objects.filter(is_superuser=True, is_active=True).values_list("pk", flat=True))


def default_level() -> Level:
    """What everybody signed in may do with a model that nobody granted them."""
    return Level[settings.DEFAULT_MODEL_LEVEL]


def grants_of(user: User) -> list[Grant]:
    """The grants of a person and of their teams, read once per request: by one statement, or along with the session."""
    cached = getattr(user, "_grants", None)
    if cached is None:
        cached = _GRANTS.all(user.pk)
        user._grants = cached  # type: ignore[attr-defined]
    return cached


def with_grants(rows: QuerySet[M, M], *, of: str, among: QuerySet[Grant] | None = None) -> QuerySet[M, M]:
    """Each with the grants (``among`` those) of the user whose key it has in this field, and of their teams."""
    among = Grant.objects.all() if among is None else among
    own, of_teams = among.filter(user=OuterRef(of)), among.filter(team__memberships__user=OuterRef(of))
    return rows.annotate(own_grants=ListOf(own, *_LISTED), team_grants=ListOf(of_teams, *_LISTED))  # type: ignore[return-value]


def grants_along(row: Any) -> list[Grant]:
    """Those that a row was read ``with_grants``."""
    return [Grant.from_db(DEFAULT_DB_ALIAS, _LISTED, columns) for columns in (*row.own_grants, *row.team_grants)]


def take_grants(user: User, grants: list[Grant]) -> None:
    """So that asking about ``user`` reads nothing more."""
    user._grants = grants  # type: ignore[attr-defined]


def forget_grants(user: User) -> None:
    """They have changed within this request."""
    if hasattr(user, "_grants"):
        del user._grants


def read_grants(users: Iterable[User]) -> None:
    """Read the grants of several people in one statement, so that asking about each of them reads nothing more."""
    waiting = [user for user in users if not user.is_superuser and not hasattr(user, "_grants")]
    if not waiting:
        return
    ids = {user.pk for user in waiting}
    found = Grant.objects.filter(Q(user__in=ids) | Q(team__memberships__user__in=ids))
    rows = list(found.annotate(member_id=F("team__memberships__user")))  # one row per grant and member
    for user in waiting:
        user._grants = [row for row in rows if user.pk in (row.user_id, row.member_id)]  # type: ignore[attr-defined]


def level_on(user: User, *, model_id: int | None, model_name: str) -> Level:
    """The highest of: administrator, auditor's reading, the default, and every grant that reaches the model. None of
    them where the credential does not reach it."""
    if not user.is_active or not can_reach(user, model_name):
        return Level.NONE
    if user.is_superuser:
        return Level.MANAGE
    level = max(default_level(), Level.READ if user.is_auditor else Level.NONE)
    for grant in grants_of(user):
        if reaches(grant, model_id=model_id, model_name=model_name):
            level = max(level, Level(grant.level))
    return Level(level)


def reaches(grant: Grant, *, model_id: int | None, model_name: str) -> bool:
    if grant.model_id is not None:
        return grant.model_id == model_id
    return fits(model_name, grant.pattern)


def fits(name: str, pattern: str) -> bool:
    """As ``__glob`` finds it in the database. Policies have a matcher of their own, to which é is é however spelt."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))  # only * and ? are special
