"""Searching runs, experiments and logged models in MLflow's language.

Metrics, parameters and tags are looked up in the JSON beside the row. Runs from the newest on, which is how clients
walk through an experiment, are paged by key; every other order may be by any metric, and goes by offset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from django.db.models import CharField, Exists, F, Model, OrderBy, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat

from core import keyset
from core.errors import Invalid
from core.json_values import AnyEntryOn, LatestNumber, NumberAt, TextAt
from core.keyset import Key
from core.prepared import planned_anew
from core.search import Condition, Order, decode_page_token, encode_page_token, parse_filter, parse_order
from tracking.models import Experiment, Lifecycle, LoggedModel, Run, RunDataset
from tracking.services.experiments import check_experiment_id

Row = TypeVar("Row", bound=Model)
_STRING = {"=": "exact", "!=": "exact", "LIKE": "like", "ILIKE": "ilike", "IN": "in", "NOT IN": "in"}
_NUMBER = {"=": "exact", "!=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_PRESENCE = ("IS NULL", "IS NOT NULL")
VIEW_TYPES = ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")
MAX_EXPERIMENTS = 10_000  # in one search; SQLite takes 32,766 parameters
MAX_ORDERS = 50
MAX_DATASETS = 1000  # in one answer
_NEWEST_FIRST = (Key("start_time", int, descending=True), Key("run_id", str))
_EXPERIMENTS_NEWEST_FIRST = (Key("creation_time", int, descending=True), Key("id", int))
INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    experiment_id: int
    name: str
    digest: str
    context: str | None


@dataclass(frozen=True, slots=True)
class _Fields:
    """What can be searched: attribute names to columns, and values under a key."""

    strings: dict[str, str | Combinable]
    numbers: dict[str, str]
    texts: dict[str, str]  # kind -> JSON column of strings
    metric: Callable[[str], Combinable] | None = None
    listed: frozenset[str] = frozenset()  # the attributes that IN and NOT IN take
    lists_texts: bool = False  # whether values under a key take them too
    has_datasets: bool = False
    nullable: frozenset[str] = frozenset()


_ARTIFACT_URI = Concat(
    Value("mlflow-artifacts:/"),
    Cast("experiment_id", CharField()),
    Value("/"),
    "run_id",
    Value("/artifacts"),
    output_field=TextField(),
)
RUNS = _Fields(
    strings={
        "run_id": "run_id", "run_name": "run_name", "run name": "run_name", "Run name": "run_name",
        "Run Name": "run_name", "status": "status", "user_id": "user_id_sent", "artifact_uri": _ARTIFACT_URI,
    },
    numbers={"start_time": "start_time", "created": "start_time", "Created": "start_time", "end_time": "end_time"},
    texts={"tag": "tags", "param": "params"},
    metric=lambda key: NumberAt("metrics", key),
    listed=frozenset({"run_id"}),
    has_datasets=True,
    nullable=frozenset({"end_time"}),
)  # fmt: skip
EXPERIMENTS = _Fields(
    strings={"name": "name", "experiment_id": Cast("id", CharField())},
    numbers={"creation_time": "creation_time", "last_update_time": "last_update_time"},
    texts={"tag": "tags"},
    listed=frozenset({"name", "experiment_id"}),
)
_LOGGED_MODEL_STRINGS: dict[str, str | Combinable] = {
    "name": "name", "model_id": "model_id", "model_type": "model_type", "source_run_id": "source_run_id",
    "status": "status",
}  # fmt: skip
_STATUSES = {"PENDING": "PENDING", "READY": "READY", "FAILED": "UPLOAD_FAILED"}  # how filters call them
_LOGGED_MODEL_NUMBERS = {
    "creation_time": "creation_timestamp",
    "creation_timestamp": "creation_timestamp",
    "creation_timestamp_ms": "creation_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
    "last_updated_timestamp_ms": "last_updated_timestamp",
}


def _logged_model_fields(datasets: tuple[tuple[str, str], ...] = ()) -> _Fields:
    return _Fields(
        strings=_LOGGED_MODEL_STRINGS,
        numbers=_LOGGED_MODEL_NUMBERS,
        texts={"tag": "tags", "param": "params"},
        metric=lambda key: LatestNumber("metrics", key, datasets),
        listed=frozenset(_LOGGED_MODEL_STRINGS),
        lists_texts=True,
    )


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """One key of a logged-model search's order; a metric may be taken on one dataset."""

    field: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""

    def __str__(self) -> str:
        return f"{self.field} on {self.dataset_name} {self.dataset_digest}"


def search_runs(
    experiment_ids: Sequence[str],
    *,
    filter_text: str,
    view_type: str,
    order_by: Sequence[str],
    limit: int,
    page_token: str,
) -> Page[Run]:
    runs = Run.objects.filter(experiment__in=_ids(experiment_ids))
    rows = fitting(_of_view(runs, view_type), filter_text)
    orders = _orderings(order_by, RUNS)
    if all(_is_newest_first(parse_order(text)) for text in order_by):
        return newest_first(rows, limit=limit, page_token=page_token)
    return _page(rows.order_by(*orders, "-start_time", "run_id"), limit, page_token)


def fitting(rows: QuerySet[Run], filter_text: str) -> QuerySet[Run]:
    """Those of ``rows`` that a filter in MLflow's language finds. Raises Invalid, naming the clause."""
    return _filtered(rows, parse_filter(filter_text), RUNS)


def experiments_newest_first(rows: QuerySet[Experiment], *, limit: int, page_token: str) -> Page[Experiment]:
    return _page_by_key(rows, _EXPERIMENTS_NEWEST_FIRST, limit, page_token)


def newest_first(
    rows: QuerySet[Run], *, limit: int, page_token: str, read: Callable[[QuerySet[Run]], list[Run]] = planned_anew
) -> Page[Run]:
    return _page_by_key(rows, _NEWEST_FIRST, limit, page_token, read)


def _is_newest_first(order: Order) -> bool:
    return order.kind in ("", "attribute") and order.descending and RUNS.numbers.get(order.key) == "start_time"


def search_experiments(
    *, filter_text: str, view_type: str, order_by: Sequence[str], limit: int, page_token: str
) -> Page[Experiment]:
    rows = _filtered(_of_view(Experiment.objects.all(), view_type), parse_filter(filter_text), EXPERIMENTS)
    orders = _orderings(order_by, EXPERIMENTS)
    return _page(rows.order_by(*orders, "-creation_time", "id"), limit, page_token)


def search_logged_models(
    experiment_ids: Sequence[str],
    *,
    filter_text: str,
    order_by: Sequence[ModelOrder],
    limit: int,
    page_token: str,
    datasets: Sequence[tuple[str, str]] = (),
) -> Page[LoggedModel]:
    """With ``datasets``, pairs of name and digest, conditions on metrics look at values measured on one of them.

    Where no condition is on a metric, a model is found that has any value measured on one of them.
    """
    rows = LoggedModel.objects.filter(experiment__in=_ids(experiment_ids), deleted_at=None)
    conditions = [_with_status(condition) for condition in parse_filter(filter_text)]
    rows = _filtered(rows, conditions, _logged_model_fields(tuple(datasets)))
    if datasets and not any(condition.kind == "metric" for condition in conditions):
        rows = rows.alias(_measured=AnyEntryOn("metrics", tuple(datasets))).filter(_measured=True)
    _check_orders([str(wish) for wish in order_by])
    orders = []
    for wish in order_by:
        parsed = parse_order(wish.field)
        if parsed.kind not in ("", "metric"):
            raise Invalid(
                f"Invalid order by field name: {wish.field[:100]}. Only metrics are supported.", field="order_by"
            )
        on = ((wish.dataset_name, wish.dataset_digest),) if wish.dataset_name else tuple(datasets)
        orders.append(_ordering(Order(parsed.kind, parsed.key, not wish.ascending), _logged_model_fields(on)))
    return _page(rows.order_by(*orders, "-creation_timestamp", "model_id"), limit, page_token)


def _with_status(condition: Condition) -> Condition:
    """The condition with a status as the column holds it. Raises Invalid for what is not one."""
    if condition.key != "status" or condition.kind not in ("", "attribute"):
        return condition
    if condition.comparator not in ("=", "!=", "IN", "NOT IN"):
        raise Invalid(f"Invalid comparison operator for status: {condition.comparator}", field="filter")
    names = condition.value if isinstance(condition.value, tuple) else (str(condition.value),)
    if any(name not in _STATUSES for name in names):
        raise Invalid(f"Unknown model status in filter: {str(condition.value)[:100]!r}", field="filter")
    found = tuple(f"LOGGED_MODEL_{_STATUSES[name]}" for name in names)
    return replace(condition, value=found if isinstance(condition.value, tuple) else found[0])


def datasets_of_experiments(experiment_ids: Sequence[str]) -> list[DatasetSummary]:
    """The datasets that runs of these experiments used, each context once; at most MAX_DATASETS."""
    rows = RunDataset.objects.filter(run__experiment__in=_ids(experiment_ids))
    rows = rows.annotate(_context=TextAt("tags", "mlflow.data.context"))
    columns = ("run__experiment_id", "name", "digest", "_context")
    return [DatasetSummary(*row) for row in rows.values_list(*columns).distinct().order_by(*columns)[:MAX_DATASETS]]


def _ids(texts: Sequence[str]) -> list[int]:
    """The ids that can exist; other numbers match nothing. Raises Invalid for what is not a number."""
    for text in texts:
        check_experiment_id(text)
    ids = sorted({int(text) for text in texts if re.fullmatch("[0-9]{1,18}", text)})
    if len(ids) > MAX_EXPERIMENTS:
        raise Invalid(f"One search takes at most {MAX_EXPERIMENTS} experiments.", field="experiment_ids")
    return ids


def _of_view(rows: QuerySet[Any], view_type: str) -> QuerySet[Any]:
    stages = {"ACTIVE_ONLY": [Lifecycle.ACTIVE], "DELETED_ONLY": [Lifecycle.DELETED], "ALL": list(Lifecycle)}[view_type]
    return rows.filter(lifecycle_stage__in=stages)


# -- Conditions --------------------------------------------------------------------------------------------------------


def _filtered(rows: QuerySet[Any], conditions: Sequence[Condition], fields: _Fields) -> QuerySet[Any]:
    for number, condition in enumerate(conditions):
        kind = condition.kind or "attribute"
        name = f"_value{number}"
        if kind == "attribute":
            rows = _by_attribute(rows, name, condition, fields)
        elif kind in fields.texts:
            rows = rows.alias(**{name: TextAt(fields.texts[kind], condition.key)})
            lists = ("IN", "NOT IN") if fields.lists_texts else ()
            rows = rows.filter(_compare_text(name, condition, ("=", "!=", "LIKE", "ILIKE", *lists, *_PRESENCE)))
        elif kind == "metric" and fields.metric:
            rows = rows.alias(**{name: fields.metric(condition.key)})
            found = _compare(name, condition, _NUMBER, _double(condition))
            if condition.comparator == "!=" and fields.has_datasets:  # a run's NaN differs from every number
                rows = rows.alias(**{f"{name}_raw": TextAt("metrics", condition.key)})
                found |= Q(**{name: None, f"{name}_raw__isnull": False})
            rows = rows.filter(found)
        elif kind == "dataset" and fields.has_datasets:
            rows = rows.filter(_dataset(condition))
        else:
            raise _unknown(condition)
    return rows


def _by_attribute(rows: QuerySet[Any], name: str, condition: Condition, fields: _Fields) -> QuerySet[Any]:
    if condition.key in fields.numbers:
        return rows.filter(_compare(fields.numbers[condition.key], condition, _NUMBER, _whole(condition)))
    field = fields.strings.get(condition.key)
    if field is None:
        raise _unknown(condition)
    comparators = ("=", "!=", "LIKE", "ILIKE", *(("IN", "NOT IN") if condition.key in fields.listed else ()))
    if isinstance(field, str):
        return rows.filter(_compare_text(field, condition, comparators))
    return rows.alias(**{name: field}).filter(_compare_text(name, condition, comparators))


def _unknown(condition: Condition) -> Invalid:
    shown = f"{condition.kind}.{condition.key}" if condition.kind else condition.key
    return Invalid(f"Invalid attribute key '{shown[:100]}' specified.", field="filter")


def _bad(condition: Condition) -> Invalid:
    return Invalid(f"Invalid comparator '{condition.comparator}' for '{condition.key[:100]}'.", field="filter")


def _compare(field: str, condition: Condition, lookups: dict[str, str], value: Any) -> Q:
    """An absent value fits no comparison, ``!=`` included."""
    lookup = lookups.get(condition.comparator)
    if lookup is None:
        raise _bad(condition)
    found = Q(**{f"{field}__{lookup}": value})
    return Q(**{f"{field}__isnull": False}) & ~found if condition.comparator in ("!=", "NOT IN") else found


def _compare_text(field: str, condition: Condition, comparators: Sequence[str]) -> Q:
    if condition.comparator not in comparators:
        raise _bad(condition)
    if condition.comparator in _PRESENCE:
        return Q(**{f"{field}__isnull": condition.comparator == "IS NULL"})
    if not isinstance(condition.value, str | tuple):
        raise Invalid(f"The value of '{condition.key[:100]}' must be a quoted string.", field="filter")
    return _compare(field, condition, _STRING, condition.value)


def _number(condition: Condition) -> int | float:
    value = condition.value
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,19}", value):
        value = int(value)
    if condition.comparator not in _NUMBER:
        raise _bad(condition)
    if not isinstance(value, int | float):
        raise Invalid(f"The value of '{condition.key[:100]}' must be a number.", field="filter")
    return value


def _whole(condition: Condition) -> int | float:
    value = _number(condition)
    if abs(value) > INT64:
        raise Invalid(f"The value of '{condition.key[:100]}' is too large.", field="filter")
    return value


def _double(condition: Condition) -> float:
    value = float(_number(condition))
    if math.isinf(value):
        raise Invalid(f"The value of '{condition.key[:100]}' is too large.", field="filter")
    return value


def _dataset(condition: Condition) -> Exists:
    sets = RunDataset.objects.filter(run=OuterRef("pk"))
    if condition.key == "context":
        sets = sets.alias(_context=TextAt("tags", "mlflow.data.context"))
    field = {"name": "name", "digest": "digest", "context": "_context"}.get(condition.key)
    if field is None:
        raise _unknown(condition)
    return Exists(sets.filter(_compare_text(field, condition, tuple(_STRING))))


# -- Order and pages ---------------------------------------------------------------------------------------------------


def _orderings(texts: Sequence[str], fields: _Fields) -> list[OrderBy]:
    orders = [parse_order(text) for text in texts]
    _check_orders([f"{order.kind or 'attribute'}.{order.key}" for order in orders])
    return [_ordering(order, fields) for order in orders]


def _check_orders(keys: Sequence[str]) -> None:
    if len(keys) > MAX_ORDERS:
        raise Invalid(f"A search has at most {MAX_ORDERS} order_by clauses.", field="order_by")
    if len(set(keys)) < len(keys):
        raise Invalid("order_by names a key twice.", field="order_by")


def _ordering(order: Order, fields: _Fields) -> OrderBy:
    """Missing values come last, whichever way. Columns that always have one are ordered as their indexes are."""
    kind = order.kind or "attribute"
    expression: Any
    if kind == "attribute":
        column = fields.numbers.get(order.key) or fields.strings.get(order.key)
        if column is None:
            raise Invalid(f"Invalid order_by key '{order.key[:100]}'.", field="order_by")
        expression = F(column) if isinstance(column, str) else column
    elif kind == "metric" and fields.metric:
        expression = fields.metric(order.key)
    elif kind in fields.texts:
        expression = TextAt(fields.texts[kind], order.key)
    else:
        raise Invalid(f"Invalid order_by entity '{order.kind[:100]}'.", field="order_by")
    nulls_last = None if kind == "attribute" and order.key not in fields.nullable else True
    return expression.desc(nulls_last=nulls_last) if order.descending else expression.asc(nulls_last=nulls_last)


def _page_by_key(
    rows: QuerySet[Row],
    keys: Sequence[Key],
    limit: int,
    page_token: str,
    read: Callable[[QuerySet[Row]], list[Row]] = planned_anew,
) -> Page[Row]:
    if page_token:
        rows = rows.filter(keyset.after(keys, page_token))
    found = read(rows.order_by(*(key.order for key in keys))[: limit + 1])
    if len(found) <= limit:
        return Page(found, "")
    return Page(found[:limit], keyset.token_of(keys, found[limit - 1]))


def _page(rows: QuerySet[Row], limit: int, page_token: str) -> Page[Row]:
    offset = _offset(page_token)
    found = planned_anew(rows[offset : offset + limit + 1])
    return Page(found[:limit], encode_page_token(offset + limit) if len(found) > limit else "")


def _offset(page_token: str) -> int:
    """How many rows the pages before a token held. Raises Invalid for what is not one of our tokens."""
    offset = decode_page_token(page_token)
    if offset is None:
        return 0
    if type(offset) is not int or not 0 <= offset < 2**62:
        raise keyset.foreign_token()
    return offset
