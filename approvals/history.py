"""Who held a stage or an alias and when, with the requests and approvals by which they got there.

Each list is read along holding_history_idx: of one target in its order, of a whole model by its first column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from approvals.models import TransitionRequest
from approvals.returning import number_before
from core.clock import now
from core.errors import Invalid
from core.keyset import INT64, foreign_token
from core.prepared import Prepared
from core.search import decode_page_token, encode_page_token
from notifications.models import Event
from registry.gate import Target
from registry.models import RegisteredModel, Stage, StageHolding, TargetKind
from registry.queries import target_named

HELD = (Target(TargetKind.STAGE, Stage.PRODUCTION), Target(TargetKind.STAGE, Stage.STAGING))
MOST_TARGETS = 200
MOST_HOLDERS = 200

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = 2**53  # microseconds: the year 2255


@dataclass(frozen=True, slots=True)
class Held:
    """A holding with the request that was carried out for it, if one was, and the names of those whose approvals
    counted."""

    row: StageHolding
    request: TransitionRequest | None = None
    approved_by: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        return Target(TargetKind(self.row.target_kind), self.row.target)

    @property
    def number(self) -> int:
        return self.row.version.version

    @property
    def is_deleted(self) -> bool:
        return self.row.version.deleted_at is not None

    @property
    def is_bypassed(self) -> bool:
        return self.request is not None and self.request.is_bypassed

    @property
    def returns_to(self) -> int | None:
        """The earlier request that this one returned to."""
        return self.request.returns_to_id if self.request else None

    @property
    def digest(self) -> str:
        """What was asked for and approved; of a move without a request, the files of the version."""
        return self.request.digest if self.request else self.row.version.digest

    @property
    def lasted(self) -> timedelta:
        return max((self.row.until or now()) - self.row.since, timedelta())


def target_held(text: str) -> Target | None:
    """A target that has a history, as ``Production`` or ``@champion``; None for an empty text, which means all."""
    if not text:
        return None
    target = target_named(text)
    if target.kind == TargetKind.STAGE and target not in HELD:
        raise Invalid("Name Production, Staging or an alias, as in @champion.", field="target")
    return target


def targets_of(model: RegisteredModel) -> list[Target]:
    """Production, Staging and the aliases that any version ever had, by name."""
    return [*HELD, *(Target(TargetKind.ALIAS, name) for (name,) in _ALIASES.all(model.pk))]


def _aliases(model: int) -> QuerySet[StageHolding, Any]:
    rows = StageHolding.objects.filter(model=model, target_kind=TargetKind.ALIAS).order_by("target")
    return rows.values_list("target").distinct()[:MOST_TARGETS]


_ALIASES = Prepared(_aliases, int)


def holders_now(model: RegisteredModel) -> list[StageHolding]:
    """Who holds each stage and alias now, Production first: each row with ``is_bypassed``, the names ``approved_by`` of
    those whose approvals put it there, and the number of the version that it ``returns_to``. One statement."""
    order: dict[str, int] = {Stage.PRODUCTION: 0, Stage.STAGING: 1}
    return sorted(_HOLDERS.all(model.pk), key=lambda row: (order.get(row.target, 2), row.target, -row.version.version))


def _holders(model: int) -> QuerySet[StageHolding]:
    bypassed = TransitionRequest.objects.filter(pk=OuterRef("request_id"), is_bypassed=True)
    applied = Event.objects.filter(request_id=OuterRef("request_id"), kind="transition.applied")
    rows = StageHolding.objects.filter(model=model, until=None).select_related("version", "set_by")
    return rows.defer("version__description", "version__tags").annotate(
        is_bypassed=Exists(bypassed),
        approved_by=Subquery(applied.values("data__approved_by")[:1]),
        returns_to=number_before(),
    )[:MOST_HOLDERS]


_HOLDERS = Prepared(_holders, int)


def page_of(
    model: RegisteredModel, target: Target | None, *, cursor: str, limit: int
) -> tuple[list[StageHolding], str]:
    """A page of the holdings, those that began last first, and the cursor of the next one."""
    if cursor:
        since, key = _position(cursor)
        rows = _of(*_which(model, target)).filter(Q(since__lt=since) | Q(since=since, id__lt=key), since__lte=since)
        found = list(rows.order_by("-since", "-id")[: limit + 1])
    else:
        found = _begun_last(limit + 1, of_one=target is not None).all(*_which(model, target))
    if len(found) <= limit:
        return found, ""
    last = found[limit - 1]
    return found[:limit], encode_page_token([(last.since - _EPOCH) // _MICROSECOND, last.pk])


def _position(cursor: str) -> tuple[datetime, int]:
    match decode_page_token(cursor):
        case [int(moment), int(key)] if 0 <= moment < _LAST and 0 <= key < INT64:
            return _EPOCH + moment * _MICROSECOND, key
    raise foreign_token()


def last_ones(model: RegisteredModel, target: Target | None, *, limit: int) -> list[StageHolding]:
    """Those that go on, then those that ended last: all that held anything since the last of them ended."""
    return _ended_last(limit, of_one=target is not None).all(*_which(model, target))


@lru_cache(maxsize=16)
def _begun_last(limit: int, *, of_one: bool) -> Prepared[StageHolding]:
    return Prepared(lambda *which: _of(*which).order_by("-since", "-id")[:limit], *_KINDS[of_one])


@lru_cache(maxsize=16)
def _ended_last(limit: int, *, of_one: bool) -> Prepared[StageHolding]:
    return Prepared(
        lambda *which: _of(*which).order_by(F("until").desc(nulls_first=True), "-since", "-id")[:limit],
        *_KINDS[of_one],
    )


def holders_at(model: RegisteredModel, target: Target | None, moment: datetime) -> list[StageHolding]:
    """Who held the target, or anything, at a moment that has come."""
    if moment > now():
        raise Invalid("That moment is still to come. Ask for one that has been, in UTC.", field="at")
    held = Q(until=None) | Q(until__gt=moment)
    rows = _of(*_which(model, target)).filter(held, since__lte=moment)
    return list(rows.order_by("-target_kind", "target", "-since", "-id")[:MOST_HOLDERS])


def first_after(model: RegisteredModel, target: Target, moment: datetime) -> StageHolding | None:
    """The next holding of the target that began."""
    return _of(*_which(model, target)).filter(since__gt=moment).order_by("since", "id").first()


_KINDS: dict[bool, tuple[type, ...]] = {False: (int,), True: (int, str, str)}  # of what ``_which`` tells


def _which(model: RegisteredModel, target: Target | None) -> tuple[Any, ...]:
    return (model.pk, target.kind, target.name) if target else (model.pk,)


def _of(model: int, kind: str = "", name: str = "") -> QuerySet[StageHolding]:
    """Of live and deleted versions alike; of one target where its kind and name are given."""
    rows = StageHolding.objects.filter(model=model).select_related("version", "set_by")
    rows = rows.defer("version__description", "version__tags")
    return rows.filter(target_kind=kind, target=name) if kind else rows


def explained(rows: Iterable[StageHolding]) -> dict[int, Held]:
    """By key, the holdings with what is behind them: two statements for all."""
    found = {row.pk: row for row in rows}
    asked = {row.request_id for row in found.values() if row.request_id}
    if not asked:
        return {key: Held(row) for key, row in found.items()}
    requests = TransitionRequest.objects.only("digest", "is_bypassed", "returns_to").in_bulk(asked)
    applied = Event.objects.filter(request_id__in=asked, kind="transition.applied").values_list("request_id", "data")
    approved = {key: tuple(data.get("approved_by", ())) for key, data in applied}
    return {
        key: Held(row, requests.get(row.request_id or 0), approved.get(row.request_id, ()))
        for key, row in found.items()
    }
