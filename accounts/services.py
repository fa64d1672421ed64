"""Every write about people, teams, tokens and grants, each with its event. ``actor`` None is the command line,
which may do all of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse

from accounts.events import (
    GrantChanged,
    SignInLinkCreated,
    TeamChanged,
    TeamCreated,
    TokenCreated,
    TokenRevoked,
    UserCreated,
    UserSwitchedOff,
    UserSwitchedOn,
    record,
)
from accounts.models import ADMINS, EVERY_MODEL, Grant, Level, Membership, SignInLink, Team, Token, User
from accounts.permissions import can_administer, forget_grants, is_unlimited
from core.answers import require
from core.clock import now
from core.errors import AlreadyExists, Conflict, Invalid, NotFound, Unauthenticated
from core.prepared import LookUp, Prepared

TOKEN_PREFIX = "cs_"  # noqa: S105 (marks our tokens, is none)
LONGEST_LIFETIME = timedelta(days=3650)
SIGN_IN_LINK_LIFETIME = timedelta(hours=24)


def _require_administrator(actor: User | None) -> None:
    if actor is not None:
        require(can_administer(actor))


def _require_unlimited(actor: User | None) -> None:
    if actor is not None:
        require(is_unlimited(actor))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# -- People ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_user(
    *,
    actor: User | None,
    username: str,
    email: str = "",
    is_admin: bool = False,
    is_service: bool = False,
    owner: User | None = None,
) -> User:
    """A person, or a service account, without a password: they come in by a sign-in link or a token."""
    _require_administrator(actor)
    username = User.normalize_username(username)
    _check_username(username)
    _check_email(email)
    if owner and not is_service:
        raise Invalid("Only a service account has an owner.", field="owner")
    if owner and owner.is_service:
        raise Invalid("The owner of a service account is a person.", field="owner")
    user = User(
        username=username, email=email, is_superuser=is_admin, is_staff=is_admin, is_service=is_service, owner=owner
    )
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:  # somebody else took the name meanwhile
        raise AlreadyExists(f"There is a user {username} already.") from error
    behind = owner.username if owner else ""
    record(UserCreated(user=username, is_admin=is_admin, is_service=is_service, owner=behind), actor=actor)
    return user


def _check_username(username: str) -> None:
    try:
        User.username_validator(username)
    except ValidationError as error:
        raise Invalid("A user name has letters, digits and @ . + - _ only.", field="username") from error
    if len(username) > 150:
        raise Invalid("A user name has at most 150 characters.", field="username")
    if User.objects.filter(username__iexact=username).exists():
        raise AlreadyExists(f"There is a user {username} already; upper and lower case do not tell names apart.")


def _check_email(email: str) -> None:
    """Addresses are for signing in too, so no two people share one."""
    if not email:
        return
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid(f"{email[:254]} is no email address.", field="email") from error
    if len(email) > 254:
        raise Invalid("An email address has at most 254 characters.", field="email")
    if User.objects.filter(email__iexact=email).exists():
        raise AlreadyExists(f"Somebody with the address {email} is here already.")


@transaction.atomic
def set_active(*, actor: User | None, user: User, is_active: bool) -> None:
    """Switch somebody off, or on again. Off, their sessions, tokens and links end at their next request."""
    _require_administrator(actor)
    if actor is not None and actor.pk == user.pk and not is_active:
        raise Conflict("You cannot switch yourself off: ask another administrator.")
    if User.objects.filter(pk=user.pk, is_active=not is_active).update(is_active=is_active):
        switched = UserSwitchedOn if is_active else UserSwitchedOff
        record(switched(user=user.username), actor=actor)
    user.is_active = is_active


def find_user(username: str) -> User:
    user = User.objects.filter(username=username).first() if username.isprintable() else None
    if user is None:
        raise NotFound(f"There is no user {username[:150]}.")
    return user


def bootstrap_administrator() -> tuple[str, str] | None:
    """On the very first start: an administrator, the path of their sign-in link and a token. None ever after."""
    with transaction.atomic():
        if User.objects.exists():
            return None
        admin = create_user(actor=None, username="admin", is_admin=True)
        _, secret = create_token(actor=None, user=admin, name="first start", expires_in=timedelta(days=30))
        return create_sign_in_link(actor=None, user=admin), secret


# -- Credentials -------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_token(
    *,
    actor: User | None,
    user: User,
    name: str,
    expires_in: timedelta | None,
    read_only: bool = False,
    pattern: str = EVERY_MODEL,
) -> tuple[Token, str]:
    """A new token and its secret, which is never shown again. ``pattern``: the names of the models that it is for."""
    _require_unlimited(actor)
    if actor is not None and actor.pk != user.pk and user.owner_id != actor.pk:
        _require_administrator(actor)
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid("Give the token a name of 1 to 100 characters, to know it again by.", field="name")
    if not 1 <= len(pattern) <= 256 or not pattern.isprintable():
        raise Invalid("Name models by 1 to 256 printable characters: * is every model.", field="models")
    if expires_in is not None and not timedelta(0) < expires_in <= LONGEST_LIFETIME:
        raise Invalid(
            f"A token lives for at most {LONGEST_LIFETIME.days} days, or has no end.", field="expires_in_days"
        )
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user=user,
        name=name,
        prefix=secret[:8],
        digest=_digest(secret),
        read_only=read_only,
        pattern=pattern,
        expires_at=now() + expires_in if expires_in else None,
    )
    ends = token.expires_at.isoformat() if token.expires_at else None
    made = TokenCreated(**_about(token), read_only=read_only, models=token.pattern, expires_at=ends)
    record(made, actor=actor)
    return token, secret


def _about(token: Token) -> dict[str, Any]:
    return {"user": token.user.username, "token": token.name, "prefix": token.prefix}


@transaction.atomic
def revoke_token(*, actor: User | None, token: Token) -> None:
    _require_unlimited(actor)
    if actor is not None and actor.pk not in (token.user_id, token.user.owner_id):
        _require_administrator(actor)
    if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now()):
        record(TokenRevoked(**_about(token)), actor=actor)


_USABLE_TOKEN = Prepared(
    lambda digest, moment: Token.objects.usable(moment).select_related("user").filter(digest=digest), str, datetime
)


def looks_like_token(secret: str) -> bool:
    """Whether it looks like one."""
    return secret.startswith(TOKEN_PREFIX)


def token_look_up(secret: str) -> LookUp[Token]:
    """Asks for the usable token of this secret, with its user."""
    return _USABLE_TOKEN.of(_digest(secret), now())


def note_use(token: Token) -> None:
    """At most once a minute."""
    if _is_stale(token.last_used_at):
        Token.objects.filter(pk=token.pk).update(last_used_at=now())


def _is_stale(last_used_at: datetime | None) -> bool:
    return last_used_at is None or now() - last_used_at > timedelta(minutes=1)


@transaction.atomic
def create_sign_in_link(*, actor: User | None, user: User) -> str:
    """The path of a link that signs this person in, once, within a day. Raises Invalid for a service account and for
    who is switched off."""
    _require_administrator(actor)
    if user.is_service or not user.is_active:
        raise Invalid(f"{user.username} does not sign in: links are for people who are switched on.", field="username")
    secret = secrets.token_urlsafe(32)
    SignInLink.objects.create(user=user, digest=_digest(secret), expires_at=now() + SIGN_IN_LINK_LIFETIME)
    record(SignInLinkCreated(user=user.username), actor=actor)
    return reverse("sign_in_link", args=[secret])


def user_of_sign_in_link(secret: str) -> User | None:
    """Whom a link would sign in; None when it is used up or too old. Uses nothing up."""
    links = SignInLink.objects.select_related("user").filter(used_at=None, expires_at__gt=now(), user__is_active=True)
    link = links.filter(digest=_digest(secret)).first()
    return link.user if link else None


def use_sign_in_link(secret: str) -> User:
    """Who the link signs in; the link is used up. The conditional update lets only one of two clicks through."""
    claimed = SignInLink.objects.filter(
        digest=_digest(secret), used_at=None, expires_at__gt=now(), user__is_active=True
    ).update(used_at=now())
    if not claimed:
        raise Unauthenticated("This sign-in link was used already or has expired. Ask an administrator for a new one.")
    return SignInLink.objects.select_related("user").get(digest=_digest(secret)).user


# -- Teams and grants --------------------------------------------------------------------------------------------------


def find_team(name: str) -> Team:
    team = Team.objects.filter(name=name).first() if name.isprintable() else None
    if team is None:
        raise NotFound(f"There is no team {name[:100]}.")
    return team


@transaction.atomic
def create_team(*, actor: User | None, name: str) -> Team:
    _require_administrator(actor)
    try:
        Team(name=name).clean_fields()
    except ValidationError as error:
        raise Invalid("A team name has 1 to 100 letters, digits, - and _.", field="name") from error
    if name.lower() == ADMINS:
        raise Invalid(f"{ADMINS} is what the administrators are called as a group: choose another name.", field="name")
    team, is_new = Team.objects.get_or_create(name=name)
    if not is_new:
        raise AlreadyExists(f"There is a team {name} already.")
    record(TeamCreated(team=name), actor=actor)
    return team


@transaction.atomic
def add_to_team(*, actor: User | None, team: Team, users: Iterable[User]) -> None:
    _require_administrator(actor)
    joined = []
    for user in users:
        if user.is_service:
            raise Conflict(f"{user.username} is a service account: reviews are for people, so are teams.")
        if Membership.objects.get_or_create(team=team, user=user)[1]:
            joined.append(user.username)
    if joined:
        record(TeamChanged(team=team.name, joined=tuple(joined)), actor=actor)


@transaction.atomic
def remove_from_team(*, actor: User | None, team: Team, users: Iterable[User]) -> None:
    _require_administrator(actor)
    leaving = Membership.objects.select_for_update(of=("self",)).filter(team=team, user__in=list(users))
    left = {row.pk: row.user.username for row in leaving.select_related("user").order_by("user__username")}
    if left:
        Membership.objects.filter(pk__in=left).delete()
        record(TeamChanged(team=team.name, left=tuple(left.values())), actor=actor)


def manage_own(*, user: User, model_id: int) -> None:
    """The level of who creates a model; that the model was created is the event of it."""
    Grant.objects.create(user=user, level=Level.MANAGE, model_id=model_id)
    forget_grants(user)


def grant(
    *,
    actor: User | None,
    level: Level,
    user: User | None = None,
    team: Team | None = None,
    pattern: str = "",
    model_id: int | None = None,
    model_name: str = "",
) -> Grant:
    """``change_grants`` for one holder."""
    holder = user or team
    if holder is None or (user and team):
        raise Invalid("A grant goes to one user or to one team.")
    change_grants(actor=actor, levels={holder: level}, pattern=pattern, model_id=model_id, model_name=model_name)
    return Grant.objects.get(user=user, team=team, pattern=pattern, model_id=model_id)


def revoke_grant(*, actor: User | None, grant: Grant, model_name: str = "") -> None:
    """``model_name``: of a grant on one model, for the event."""
    _require_administrator(actor)
    change_grants(
        actor=actor,
        levels={grant.holder: None},
        pattern=grant.pattern,
        model_id=grant.model_id,
        model_name=model_name,
    )


@transaction.atomic
def change_grants(
    *,
    actor: User | None,
    levels: Mapping[User | Team, Level | None],
    replace: bool = False,
    pattern: str = "",
    model_id: int | None = None,
    model_name: str = "",
) -> None:
    """Give each holder a level on one model, or on a pattern of names, in place of what they have there; None takes it
    back, and ``replace`` that of everybody who is not named. One event for each whose level changes.

    The caller answers for the right on ``model_id``, has locked that model, and names it for the event.
    """
    if model_id is None:
        _require_administrator(actor)
    if (not pattern) == (model_id is None):
        raise Invalid("A grant is on one model or on a pattern of names.", field="pattern")
    if len(pattern) > 256 or not pattern.isprintable():
        raise Invalid("A pattern has at most 256 characters, all of them printable.", field="pattern")
    if any(level is not None and level <= Level.NONE for level in levels.values()):
        raise Invalid("Choose a level above no access, or take the grant back.", field="level")
    if not (levels or replace):
        raise Invalid("Name who is to have which level.", field="level")
    there = Grant.objects.select_for_update(of=("self",)).filter(pattern=pattern, model_id=model_id)
    if not replace:
        named = Q(user__in=[holder for holder in levels if isinstance(holder, User)])
        there = there.filter(named | Q(team__in=[holder for holder in levels if isinstance(holder, Team)]))
    present = {row.holder: row for row in there.select_related("user", "team")}
    wanted = {**dict.fromkeys(present), **levels} if replace else dict(levels)
    before = {holder: Level(present[holder].level) if holder in present else Level.NONE for holder in wanted}
    after = {holder: level or Level.NONE for holder, level in wanted.items() if (level or Level.NONE) != before[holder]}
    Grant.objects.filter(pk__in=[present[holder].pk for holder in after if holder in present]).delete()
    given = [
        Grant(**_held_by(holder), level=level, pattern=pattern, model_id=model_id)
        for holder, level in after.items()
        if level
    ]
    try:
        with transaction.atomic():
            Grant.objects.bulk_create(given)
    except IntegrityError as error:  # somebody else granted the same meanwhile
        raise Conflict(
            "Somebody is changing the same grants: nothing was changed. Look again and repeat it."
        ) from error
    for holder, level in after.items():
        name: dict[str, Any] = {key: str(value) for key, value in _held_by(holder).items()}
        change = GrantChanged(model_name=model_name, pattern=pattern, before=before[holder], after=level, **name)
        record(change, actor=actor)


def _held_by(holder: User | Team) -> dict[str, Any]:
    return {"user": holder} if isinstance(holder, User) else {"team": holder}
