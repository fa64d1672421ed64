"""Finding what somebody may see: what is not there and what is not for them are the same NotFound."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from django.db.models import QuerySet

from accounts.models import User
from accounts.permissions import default_level, grants_of
from approvals.models import Comment, TransitionRequest, TransitionRequestQuerySet
from core.counting import CountOf
from core.errors import NotFound
from core.keyset import key_in
from core.prepared import Compiled, Prepared
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import can_read
from registry.queries import target_named

NO_REQUEST = "There is no such request, or it is not for you to see."
NO_COMMENT = "There is no such comment or version, or it is not for you to see."
Row = TypeVar("Row")
LISTED = 20
_AGAIN = Compiled()
_AS_SHOWN = Prepared(
    lambda person, pk: TransitionRequest.objects.with_rows().with_runs().as_shown_to(person).filter(pk=pk), int, int
)
_PENDING_OF_MODEL = Prepared(
    lambda model: TransitionRequest.objects.pending().filter(model=model).lines().order_by("-pk")[:LISTED], int
)
_ABOUT_VERSION = Prepared(
    lambda version: TransitionRequest.objects.filter(version=version).lines().order_by("-pk")[:LISTED], int
)


def pending_of(model: RegisteredModel) -> list[TransitionRequest]:
    """The newest that are still to be decided, as ``lines``."""
    return _PENDING_OF_MODEL.all(model.pk)


def requests_about(version: ModelVersion) -> list[TransitionRequest]:
    """The newest for this version, decided or not, as ``lines``."""
    return _ABOUT_VERSION.all(version.pk)


def get_request(user: User, pk: int) -> TransitionRequest:
    found = TransitionRequest.objects.visible_to(user).with_rows().filter(pk=pk).first()
    if found is None:
        raise NotFound(NO_REQUEST)
    return found


def request_as_shown(user: User, pk: int) -> TransitionRequest:
    """The same with what its page says to this person alone."""
    found = _AS_SHOWN.first(user.person_id, pk)
    if found is None or not can_read(user, found.model):
        raise NotFound(NO_REQUEST)
    return found


def get_comment(user: User, number: int | str) -> Comment:
    """By its number, or by what a client sent in the place of one."""
    pk = key_in(str(number))
    found = Comment.objects.visible_to(user).with_rows().filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise NotFound(NO_COMMENT)
    return found


def counts_up_to(most: int, user: User, *lists: QuerySet[Any]) -> list[int]:
    """How long the lists are, counted no further than ``most``: in one statement, and as quick for long ones."""
    return _numbers(_counts(most, user, *lists).get())


def count_again(most: int, user: User, lists: Callable[[], Sequence[QuerySet[Any]]], *named: Hashable) -> list[int]:
    """The same on pages that are opened all day. Django needs ten times as long to write the statement as the database
    to answer it, so it is written once for all that ``lists`` are made from: who asks, and what they are ``named``."""
    [counts] = _AGAIN.rows((most, *_asks_as(user), *named), lambda: _counts(most, user, *lists()))
    return _numbers(counts)


def list_again(user: User, rows: Callable[[], QuerySet[Any, Row]], *named: Hashable) -> list[Row]:
    """The rows of a list, likewise."""
    return _AGAIN.rows((*_asks_as(user), *named), rows)


def count_waiting(most: int, user: User) -> int:
    """How many requests wait for this person, for the bar on every page."""
    [count] = count_again(most, user, lambda: [TransitionRequest.objects.waiting_on(user)], "waiting")
    return count


def _numbers(counts: Sequence[int | None]) -> list[int]:
    """A list that is known to be empty is not even counted."""
    return [count or 0 for count in counts]


def _asks_as(user: User) -> tuple[Hashable, ...]:
    """All that decides what somebody sees and what waits for them, besides the rows themselves."""
    grants = tuple((grant.model_id, grant.pattern, grant.level) for grant in grants_of(user))
    return user.pk, user.person_id, user.is_superuser, user.is_auditor, user.reach, default_level(), grants


def _counts(most: int, user: User, *lists: QuerySet[Any]) -> QuerySet[User, Any]:
    columns = [CountOf(rows, most=most) for rows in lists]
    return User.objects.filter(pk=user.pk).values_list(*columns)


def fitting(
    rows: TransitionRequestQuerySet, *, model: str = "", target: str = "", requester: str = "", text: str = ""
) -> TransitionRequestQuerySet:
    """Those that fit all that is given: a model's name, in which * stands for anything; a stage or @alias; the name of
    who asked; words of what they wrote."""
    if model:
        rows = rows.filter(**{"model__name__glob" if "*" in model else "model__name": model})
    if target:
        named = target_named(target)
        rows = rows.filter(target_kind=named.kind, target=named.name)
    if requester:
        rows = rows.filter(requester__username=requester)
    return rows.filter(comment__icontains=text) if text else rows
