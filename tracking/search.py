"""Searching runs, experiments and logged models in MLflow's language.

Metrics, parameters and tags are looked up in the JSON beside the row. Pages go by offset here: runs are searched
within experiments, and the order may be by any metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Exists, F, FloatField, Model, OrderBy, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, NullIf

from core.errors import Invalid
from core.search import Condition, Order, decode_page_token, encode_page_token, parse_filter, parse_order
from tracking.models import Experiment, Lifecycle, LoggedModel, Run, RunDataset

Row = TypeVar("Row", bound=Model)
_STRING = {"=": "exact", "!=": "exact", "LIKE": "like", "ILIKE": "ilike", "IN": "in", "NOT IN": "in"}
_NUMBER = {"=": "exact", "!=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
VIEW_TYPES = ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class _Fields:
    """What can be searched: attribute names to columns, and which kinds lie in JSON columns."""

    strings: dict[str, str]
    numbers: dict[str, str]
    json: dict[str, str]


RUNS = _Fields(
    strings={"run_id": "run_id", "run_name": "run_name", "Run name": "run_name", "status": "status", "user_id": "user_id_sent", "artifact_uri": "run_id"},
    numbers={"start_time": "start_time", "created": "start_time", "Created": "start_time", "end_time": "end_time"},
    json={"tag": "tags", "param": "params", "metric": "metrics"},
)
EXPERIMENTS = _Fields(
    strings={"name": "name"},
    numbers={"creation_time": "creation_time", "last_update_time": "last_update_time", "experiment_id": "id"},
    json={"tag": "tags"},
)
LOGGED_MODELS = _Fields(
    strings={"name": "name", "model_id": "model_id", "model_type": "model_type", "status": "status", "source_run_id": "source_run_id"},
    numbers={
        "creation_timestamp": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp", "creation_time": "creation_timestamp",
        "last_updated_timestamp": "last_updated_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp",
    },
    json={"tag": "tags", "param": "params"},
)  # fmt: skip


def search_runs(
    experiment_ids: Sequence[str], *, filter_text: str, view_type: str, order_by: Sequence[str], limit: int, page_token: str
) -> Page[Run]:
    rows = Run.objects.filter(experiment__in=_ids(experiment_ids))
    rows = _filtered(_of_view(rows, view_type), parse_filter(filter_text), RUNS)
    orders = [_ordering(parse_order(text), RUNS) for text in order_by]
    if not any("start_time" in text for text in order_by):
        orders.append(F("start_time").desc())
    return _page(rows.order_by(*orders, "run_id"), limit, page_token)


def search_experiments(
    *, filter_text: str, view_type: str, order_by: Sequence[str], limit: int, page_token: str
) -> Page[Experiment]:
    rows = _filtered(_of_view(Experiment.objects.all(), view_type), parse_filter(filter_text), EXPERIMENTS)
    orders = [_ordering(parse_order(text), EXPERIMENTS) for text in order_by]
    return _page(rows.order_by(*orders, "-creation_time", "id"), limit, page_token)


def search_logged_models(
    experiment_ids: Sequence[str], *, filter_text: str, order_by: Sequence[tuple[str, bool]], limit: int, page_token: str
) -> Page[LoggedModel]:
    """``order_by`` holds (field, ascending)."""
    rows = LoggedModel.objects.filter(experiment__in=_ids(experiment_ids), deleted_at=None)
    rows = _filtered(rows, parse_filter(filter_text), LOGGED_MODELS)
    orders = []
    for field, ascending in order_by:
        order = parse_order(field)
        orders.append(_ordering(Order(order.kind, order.key, not ascending), LOGGED_MODELS))
    return _page(rows.order_by(*orders, "-creation_timestamp", "model_id"), limit, page_token)


def _ids(texts: Sequence[str]) -> list[int]:
    return [int(text) for text in texts if text.isdigit() and len(text) < 19]


def _of_view(rows: QuerySet[Any], view_type: str) -> QuerySet[Any]:
    stages = {"ACTIVE_ONLY": [Lifecycle.ACTIVE], "DELETED_ONLY": [Lifecycle.DELETED], "ALL": list(Lifecycle)}[view_type]
    return rows.filter(lifecycle_stage__in=stages)


# -- Conditions --------------------------------------------------------------------------------------------------------


def _filtered(rows: QuerySet[Any], conditions: Sequence[Condition], fields: _Fields) -> QuerySet[Any]:
    for number, condition in enumerate(conditions):
        kind = condition.kind or "attribute"
        if kind == "attribute":
            rows = rows.filter(_attribute(condition, fields))
        elif kind == "dataset" and fields is RUNS:
            rows = rows.filter(_dataset(condition))
        elif kind in fields.json:
            rows = _by_json(rows, f"_value{number}", condition, fields.json[kind])
        else:
            raise _unknown(condition)
    return rows


def _unknown(condition: Condition) -> Invalid:
    shown = f"{condition.kind}.{condition.key}" if condition.kind else condition.key
    return Invalid(f"Invalid attribute key '{shown[:100]}' specified.", field="filter")


def _bad(condition: Condition) -> Invalid:
    return Invalid(f"Invalid comparator '{condition.comparator}' for '{condition.key[:100]}'.", field="filter")


def _compare(field: str, condition: Condition, lookups: dict[str, str], value: Any) -> Q:
    lookup = lookups.get(condition.comparator)
    if lookup is None:
        raise _bad(condition)
    found = Q(**{f"{field}__{lookup}": value})
    return Q(**{f"{field}__isnull": False}) & ~found if condition.comparator in ("!=", "NOT IN") else found


def _attribute(condition: Condition, fields: _Fields) -> Q:
    if condition.key in fields.numbers:
        if condition.comparator in ("IN", "NOT IN") and condition.key == "experiment_id":
            return _compare("id", condition, _STRING, _ids(condition.value if isinstance(condition.value, tuple) else ()))
        return _compare(fields.numbers[condition.key], condition, _NUMBER, _number(condition))
    field = fields.strings.get(condition.key)
    if field is None:
        raise _unknown(condition)
    if condition.comparator in ("IN", "NOT IN") and fields is RUNS and field != "run_id":
        raise _bad(condition)
    if not isinstance(condition.value, str | tuple):
        raise Invalid(f"The value of '{condition.key}' must be a quoted string.", field="filter")
    if condition.key == "artifact_uri":  # derived from the run id: compare what the id is in the address
        return _compare("run_id", condition, _STRING, _run_id_of(condition.value))
    return _compare(field, condition, _STRING, condition.value)


def _run_id_of(uri: str | tuple[str, ...]) -> str:
    parts = uri.split("/") if isinstance(uri, str) else []
    return parts[-2] if len(parts) >= 2 and parts[-1] == "artifacts" else ""


def _number(condition: Condition) -> int | float:
    value = condition.value
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if not isinstance(value, int | float):
        raise Invalid(f"The value of '{condition.key}' must be a number.", field="filter")
    if abs(value) > 2**63 - 1:
        raise Invalid(f"The value of '{condition.key}' is too large.", field="filter")
    return value


def _by_json(rows: QuerySet[Any], name: str, condition: Condition, column: str) -> QuerySet[Any]:
    """Compare what a JSON column holds under the key. An absent key fits only IS NULL."""
    if condition.comparator in ("IS NULL", "IS NOT NULL"):
        if column == "metrics":
            raise _bad(condition)
        present = Q(**{f"{column}__has_key": condition.key})
        return rows.filter(~present if condition.comparator == "IS NULL" else present)
    if column == "metrics":
        value = _number(condition)
        rows = rows.filter(**{f"{column}__has_key": condition.key})
        rows = rows.annotate(**{name: _metric_value(condition.key)})
        return rows.filter(_compare(name, condition, _NUMBER, float(value)))
    if not isinstance(condition.value, str) or condition.comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise _bad(condition)
    rows = rows.annotate(**{name: Cast(KeyTextTransform(condition.key, column), TextField())})
    return rows.filter(_compare(name, condition, _STRING, condition.value))


def _metric_value(key: str) -> Combinable:
    """The last value as a number; NaN, stored as a string, becomes null."""
    value = Cast(KeyTextTransform("value", KeyTransform(key, "metrics")), TextField())
    return Cast(NullIf(value, Value("NaN")), FloatField())


def _dataset(condition: Condition) -> Exists:
    field = {"name": "name", "digest": "digest"}.get(condition.key)
    if condition.key == "context":
        sets = RunDataset.objects.annotate(_context=Cast(KeyTextTransform("mlflow.data.context", "tags"), TextField()))
        field = "_context"
    else:
        sets = RunDataset.objects.all()
    if field is None:
        raise _unknown(condition)
    if not isinstance(condition.value, str | tuple):
        raise Invalid(f"The value of 'dataset.{condition.key}' must be a quoted string.", field="filter")
    return Exists(sets.filter(_compare(field, condition, _STRING, condition.value), run=OuterRef("pk")))


# -- Order and pages ---------------------------------------------------------------------------------------------------


def _ordering(order: Order, fields: _Fields) -> OrderBy:
    """Missing values come last, whichever way."""
    kind = order.kind or "attribute"
    expression: Any
    if kind == "attribute":
        column = fields.numbers.get(order.key) or fields.strings.get(order.key)
        if column is None:
            raise Invalid(f"Invalid order_by key '{order.key[:100]}'.", field="order_by")
        expression = F(column)
    elif kind == "metric" and "metric" in fields.json:
        expression = _metric_value(order.key)
    elif kind in fields.json:
        expression = Cast(KeyTextTransform(order.key, fields.json[kind]), TextField())
    else:
        raise Invalid(f"Invalid order_by entity '{order.kind[:100]}'.", field="order_by")
    return expression.desc(nulls_last=True) if order.descending else expression.asc(nulls_last=True)


def _page(rows: QuerySet[Row], limit: int, page_token: str) -> Page[Row]:
    offset = decode_page_token(page_token) or 0
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 2**62:
        raise Invalid("Invalid page token: it belongs to another search.", field="page_token")
    found = list(rows[offset : offset + limit + 1])
    return Page(found[:limit], encode_page_token(offset + limit) if len(found) > limit else "")
