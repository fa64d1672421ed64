"""The versions of a model as a table reads them: filtered, sorted by number or by a metric, and by keyset pages both
ways. Sorted by a metric, those without it come after the others.

By a metric no single way is quick for all filters: along metric_order_idx a page is soon full of what fits often, while
what fits seldom is better found first, by its own index or in one pass, and sorted then. How often something fits a
model no database knows beforehand, so the first way is tried for MOST_WALKED versions, and then the second is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import OrderBy, RawSQL
from django.db.models.fields.json import KeyTransform

from accounts.models import User
from core.json_values import HasText, Sql
from core.keys import MAX_KEY
from core.keyset import number_in
from core.prepared import Prepared, planned_anew, planning_anew
from registry.models import HELD_STAGES, ModelVersion, RegisteredModel, Stage, VersionMetric

MOST_DIGITS = 9  # of a version's number
MOST_WALKED = 2000  # versions along a metric: 25 rows are full when one in 50 fits
EVERY = 2**31 - 1  # more than a model has
BY_NUMBER = ("version", "created")  # numbers are given in the order in which versions are registered
# What a row of the table says of a version.
_OF_A_ROW = ("version", "current_stage", "description", "creation_timestamp", "user__username")


@dataclass(frozen=True, slots=True)
class Order:
    """``by`` is "version", "created" or the name of a metric."""

    by: str = "version"
    descending: bool = True

    @classmethod
    def read(cls, text: str) -> Order:
        by = text.removeprefix("-")
        return cls(by, text.startswith("-")) if by and len(by) <= MAX_KEY else cls()

    def __str__(self) -> str:
        return f"-{self.by}" if self.descending else self.by

    @property
    def metric(self) -> str:
        return "" if self.by in BY_NUMBER else self.by


@dataclass(frozen=True, slots=True)
class Position:
    """A row of the table: its number, and its value of the metric by which the table is sorted, if it has one."""

    number: int
    value: float | None = None

    @classmethod
    def read(cls, text: str) -> Position | None:
        """None for what is no position: then the table begins at its top."""
        value, _, after_it = text.rpartition(":")
        if (number := number_in(after_it, digits=MOST_DIGITS)) is None:
            return None
        try:
            read = float(value) if value else None
        except ValueError:
            return None
        return cls(number, read) if read is None or math.isfinite(read) else None

    def __str__(self) -> str:
        return str(self.number) if self.value is None else f"{self.value!r}:{self.number}"


@dataclass(frozen=True, slots=True)
class Filters:
    """``text`` is a part of the description, or a tag as key=value; ``by`` a user name."""

    stage: str = ""
    alias: str = ""
    text: str = ""
    by: str = ""

    def of(self, model: RegisteredModel) -> QuerySet[ModelVersion]:
        rows = ModelVersion.objects.live().filter(model=model)
        if self.stage in Stage.values:
            rows = rows.filter(current_stage=self.stage)
        if self.alias:
            rows = rows.filter(version=model.aliases.get(self.alias, 0))
        key, is_tag, value = self.text.partition("=")
        if is_tag and key.strip():
            rows = rows.filter(HasText("tags", key.strip(), value.strip()))
        elif self.text:
            rows = rows.filter(description__icontains=self.text)
        if self.by:
            rows = rows.filter(user=User.objects.filter(username=self.by).values("pk")[:1])
        return rows

    @property
    def fit_few(self) -> bool:
        """Of any model: an alias belongs to one version, and a held stage mostly."""
        return bool(self.alias) or self.stage in HELD_STAGES


@dataclass(frozen=True, slots=True)
class Page:
    """``known`` of each version is what its evidence says of its metrics."""

    versions: list[ModelVersion]
    before: Position | None = None  # where the next page begins, further down
    after: Position | None = None  # where the page above ends


def page_of(
    model: RegisteredModel,
    filters: Filters,
    order: Order,
    *,
    before: Position | None = None,
    after: Position | None = None,
    limit: int,
) -> Page:
    """The rows below ``before``, or those right above ``after``. One statement; by a metric up to three where few of
    the next MOST_WALKED versions fit, or where the page ends with those that have not got it."""
    upwards = before is None and after is not None
    if (filters, order, before, after) == (Filters(), Order(), None, None):
        found = _newest(limit + 1).all(model.pk)
    else:
        with planning_anew():
            found = _found(Asked(model, filters, order, upwards, limit + 1), after if upwards else before)
    more, found = len(found) > limit, found[:limit]
    if upwards:
        found.reverse()
    for version in found:
        version.model = model
    is_above = more if upwards else before is not None
    is_below = upwards or more
    return Page(
        found,
        before=_position(found[-1]) if found and is_below else None,
        after=_position(found[0]) if found and is_above else None,
    )


def _with_metrics(rows: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    rows = rows.select_related("user").only(*_OF_A_ROW)
    return rows.annotate(known=KeyTransform("metrics", "evidence__data"))


@cache
def _newest(most: int) -> Prepared[ModelVersion]:
    """Where everybody begins."""
    return Prepared(
        lambda model: _with_metrics(ModelVersion.objects.live().filter(model=model)).order_by("-version")[:most], int
    )


@cache
def _sorted(descending: bool, goes_on: bool, most: int) -> Prepared[ModelVersion]:
    """All that have a metric, along its index: where nothing is filtered no other way is better."""

    def along(model: int, name: str, value: float = 0, number: int = 0) -> QuerySet[ModelVersion]:
        which = Q(metrics__model=model, metrics__name=name)
        if goes_on:
            which &= _behind(value, number, descending=descending, of="metrics__")
        rows = _with_metrics(ModelVersion.objects.live().filter(which))
        return rows.annotate(figure=F("metrics__value")).order_by(*_ways(descending, of="metrics__"))[:most]

    return Prepared(along, int, str, *((float, int) if goes_on else ()))


def _position(version: ModelVersion) -> Position:
    return Position(version.version, getattr(version, "figure", None))


@dataclass(frozen=True, slots=True)
class Asked:
    """A page: the ``most`` rows from a position on, which are read the other way round where it is ``upwards``."""

    model: RegisteredModel
    filters: Filters
    order: Order
    upwards: bool
    most: int

    @property
    def descending(self) -> bool:
        return self.order.descending != self.upwards

    @property
    def rows(self) -> QuerySet[ModelVersion]:
        return self.filters.of(self.model)

    @property
    def metrics(self) -> QuerySet[VersionMetric]:
        return VersionMetric.objects.filter(model=self.model, name=self.order.metric)


def _found(asked: Asked, at: Position | None) -> list[ModelVersion]:
    if not asked.order.metric:
        return planned_anew(_by_number(asked, asked.rows, at, descending=asked.descending))
    if at is None or at.value is not None:
        return _by_metric(asked, at)
    found = planned_anew(_without_metric(asked, at))
    if asked.upwards and len(found) < asked.most:
        found += _by_metric(replace(asked, most=asked.most - len(found)), None)
    return found


def _by_number(
    asked: Asked, rows: QuerySet[ModelVersion], at: Position | None, *, descending: bool
) -> QuerySet[ModelVersion]:
    if at is not None:
        rows = rows.filter(**{f"version__{'lt' if descending else 'gt'}": at.number})
    return _with_metrics(rows).order_by("-version" if descending else "version")[: asked.most]


def _without_metric(asked: Asked, at: Position | None) -> QuerySet[ModelVersion]:
    """They come last, the newest first, whichever way the others are sorted."""
    without = asked.rows.exclude(Exists(asked.metrics.filter(number=OuterRef("version"))))
    return _by_number(asked, without, at, descending=not asked.upwards)


def _by_metric(asked: Asked, at: Position | None) -> list[ModelVersion]:
    """From ``at`` among those with the metric, or from their beginning; downwards, those without it follow."""
    if asked.filters.fit_few:
        return _page(asked, gather_sql(asked, at))
    if asked.filters == Filters():
        begins = () if at is None else (at.value, at.number)
        found = _sorted(asked.descending, at is not None, asked.most).all(asked.model.pk, asked.order.metric, *begins)
    else:
        found = _page(asked, walk_sql(asked, at))
        is_long = len(found) < asked.most and asked.model.last_version > MOST_WALKED
        if is_long and _along(asked, at)[MOST_WALKED:].exists():
            return _page(asked, gather_sql(asked, at))
    if len(found) == asked.most or asked.upwards:
        return found
    return found + planned_anew(_without_metric(replace(asked, most=asked.most - len(found)), None))


def _along(asked: Asked, at: Position | None) -> QuerySet[VersionMetric]:
    rows = asked.metrics
    if at is not None and at.value is not None:
        rows = rows.filter(_behind(at.value, at.number, descending=asked.descending))
    return rows.order_by(*_ways(asked.descending))


def _behind(value: float, number: int, *, descending: bool, of: str = "") -> Q:
    """What comes after this value of this version, in columns ``of`` another table or the metrics' own."""
    side = "lt" if descending else "gt"
    later, equal = {f"{of}value__{side}": value}, {f"{of}value": value, f"{of}number__{side}": number}
    return Q(**{f"{of}value__{side}e": value}) & (Q(**later) | Q(**equal))


def _ways(descending: bool, of: str = "") -> list[OrderBy]:
    ways = F(f"{of}value"), F(f"{of}number")
    return [way.desc() if descending else way.asc() for way in ways]


# Put together from querysets and words of this module; what somebody typed are parameters.


def walk_sql(asked: Asked, at: Position | None) -> Sql:
    """The keys of what fits, looked at one by one in the order of the index until the page is full. A subquery for each
    leaves no other way to a database that takes few for many, or many for few."""
    along, values = _along(asked, at).values("number")[:MOST_WALKED].query.sql_with_params()
    this = asked.rows.filter(version=RawSQL("walked.number", ())).values("pk")
    fitting, more = this.query.sql_with_params()
    looked_at = f"SELECT ({fitting}) AS id FROM ({along}) walked"  # noqa: S608
    sql = f"SELECT id FROM ({looked_at}) looked_at WHERE id IS NOT NULL LIMIT {asked.most:d}"  # noqa: S608
    return sql, (*more, *values)


def gather_sql(asked: Asked, at: Position | None) -> Sql:
    """The keys of a page of all that fit: the limit, which no model reaches, has these found before they are sorted."""
    value = Subquery(asked.metrics.filter(version=OuterRef("pk")).values("value")[:1])
    rows = asked.rows.annotate(figure=value).values("pk", "version", "figure")[:EVERY]
    fitting, params = rows.query.sql_with_params()
    side, way, sign = ("<", "DESC", "-") if asked.descending else (">", "ASC", "+")
    behind = "figure IS NOT NULL"
    if at is not None:
        behind = f"(figure {side} %s OR figure = %s AND version {side} %s)"
        params += (at.value, at.value, at.number)
    if not asked.upwards:
        behind = f"({behind} OR figure IS NULL)"
    order = f"figure {way} NULLS LAST, CASE WHEN figure IS NULL THEN -version ELSE {sign}version END"
    return f"SELECT pk FROM ({fitting}) fitting WHERE {behind} ORDER BY {order} LIMIT {asked.most:d}", params  # noqa: S608


def _page(asked: Asked, keys: Sql) -> list[ModelVersion]:
    """Their rows in order, those without a ``figure`` last. So evidence is read for a page, and not for all that it was
    chosen from."""
    mine = FilteredRelation("metrics", condition=Q(metrics__name=asked.order.metric))
    ways = F("figure"), F("mine__number")
    order = [way.desc(nulls_last=True) if asked.descending else way.asc(nulls_last=True) for way in ways]
    rows = _with_metrics(ModelVersion.objects.filter(pk__in=RawSQL(*keys)))  # noqa: S611
    return planned_anew(rows.annotate(mine=mine, figure=F("mine__value")).order_by(*order, "-version"))
