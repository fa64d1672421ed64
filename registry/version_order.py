"""The versions of a model as a table reads them: filtered, sorted by number or by a metric, and by keyset pages both
ways. Sorted by a metric, those that have it are read along metric_order_idx; those without it come after them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTransform

from core.json_values import TextAt
from core.keys import MAX_KEY
from core.keyset import number_in
from core.prepared import Prepared, planned_anew
from registry.models import ModelVersion, RegisteredModel, Stage, VersionMetric

MOST_DIGITS = 9  # of a version's number
BY_NUMBER = ("version", "created")  # numbers are given in the order in which versions are registered


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
            rows = rows.alias(tag=TextAt("tags", key.strip())).filter(tag=value.strip())
        elif self.text:
            rows = rows.filter(description__icontains=self.text)
        return rows.filter(user__username=self.by) if self.by else rows


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
    """The rows below ``before``, or those right above ``after``. One statement; two where a page begins with versions
    that have the metric and ends with those that have not."""
    upwards = before is None and after is not None
    if (filters, order, before, after) == (Filters(), Order(), None, None):
        found = _newest(limit + 1).all(model.pk)
    else:
        rows = _with_metrics(filters.of(model))
        found = _read(_parts(rows, model, order, after if upwards else before, upwards=upwards), limit + 1)
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
    return rows.select_related("user").annotate(known=KeyTransform("metrics", "evidence__data"))


@cache
def _newest(most: int) -> Prepared[ModelVersion]:
    """Where everybody begins."""
    return Prepared(
        lambda model: _with_metrics(ModelVersion.objects.live().filter(model=model)).order_by("-version")[:most], int
    )


def _read(parts: Iterable[QuerySet[ModelVersion]], most: int) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    for part in parts:
        found += planned_anew(part[: most - len(found)])
        if len(found) >= most:
            break
    return found


def _position(version: ModelVersion) -> Position:
    return Position(version.version, getattr(version, "figure", None))


def _parts(
    rows: QuerySet[ModelVersion], model: RegisteredModel, order: Order, at: Position | None, *, upwards: bool
) -> Iterator[QuerySet[ModelVersion]]:
    """What is asked for one after the other until a page is full, each from where the page begins."""
    if not order.metric:
        yield _by_number(rows, at, descending=order.descending != upwards)
        return
    without = rows.exclude(Exists(VersionMetric.objects.filter(version=OuterRef("pk"), name=order.metric)))
    is_without = at is not None and at.value is None
    if upwards:
        if is_without:
            yield _by_number(without, at, descending=False)
        yield _by_metric(rows, model, order.metric, None if is_without else at, descending=not order.descending)
        return
    if not is_without:
        yield _by_metric(rows, model, order.metric, at, descending=order.descending)
    yield _by_number(without, at if is_without else None, descending=True)


def _by_number(rows: QuerySet[ModelVersion], at: Position | None, *, descending: bool) -> QuerySet[ModelVersion]:
    if at is not None:
        rows = rows.filter(**{f"version__{'lt' if descending else 'gt'}": at.number})
    return rows.order_by("-version" if descending else "version")


def _by_metric(
    rows: QuerySet[ModelVersion], model: RegisteredModel, metric: str, at: Position | None, *, descending: bool
) -> QuerySet[ModelVersion]:
    which = Q(metrics__model=model, metrics__name=metric)
    if at is not None:
        side = "lt" if descending else "gt"
        later: dict[str, Any] = {f"metrics__value__{side}": at.value}
        equal: dict[str, Any] = {"metrics__value": at.value, f"metrics__number__{side}": at.number}
        which &= Q(**{f"metrics__value__{side}e": at.value}) & (Q(**later) | Q(**equal))
    keys = F("figure"), F("metrics__number")
    found = rows.filter(which).annotate(figure=F("metrics__value"))
    return found.order_by(*(key.desc() if descending else key.asc() for key in keys))
