"""Searching models and versions in MLflow's language: the filter to SQL, keyset pages in every order.

A page token holds the sort values of the last row, so page 1,000 costs what page 1 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from core.errors import Invalid
from core.search import Condition, decode_page_token, encode_page_token, parse_filter, parse_order
from registry.models import PROMPT_TAG, ModelTag, ModelVersion, RegisteredModel, VersionTag
from registry.services._rows import value_hash

Row = TypeVar("Row")

_STRING_LOOKUPS = {"=": "exact", "!=": "exact", "LIKE": "like", "ILIKE": "ilike", "IN": "in", "NOT IN": "in"}
_NUMBER_LOOKUPS = {"=": "exact", "!=": "exact", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_NEGATIONS = ("!=", "NOT IN")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class _Key:
    """One column of an order. ``field`` leads from the row to the value, for SQL."""

    field: str
    descending: bool = False


# What a search of versions reads. Pages reach 200,000 rows: named tuples cost a quarter of what model instances do.
VERSION_COLUMNS = (
    "model__name",
    "version",
    "creation_timestamp",
    "last_updated_timestamp",
    "current_stage",
    "description",
    "user__username",
    "source",
    "run_id",
    "run_link",
    "status",
    "status_message",
    "logged_model_id",
    "tags",
)
MODEL_FIELDS = {"name": "name"}
MODEL_ORDERS = {
    "name": "name",
    "timestamp": "last_updated_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
}
VERSION_STRINGS = {"name": "model__name", "run_id": "run_id", "source_path": "source"}
VERSION_ORDERS = {
    "name": "model__name",
    "version_number": "version",
    "creation_timestamp": "creation_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
}


def search_models(
    user: User, *, filter_text: str = "", order_by: tuple[str, ...] = (), limit: int = 100, page_token: str = ""
) -> Page[RegisteredModel]:
    """Models that ``user`` may read. Prompts are left out unless the filter asks for them."""
    rows = RegisteredModel.objects.live().visible_to(user)
    conditions, prompts = _without_prompt_rule(parse_filter(filter_text))
    rows = rows.filter(is_prompt=prompts)
    for condition in conditions:
        if condition.kind == "tag":
            rows = rows.filter(_has_tag(ModelTag, "model", condition))
        else:
            _require_attribute(condition, MODEL_FIELDS)
            rows = rows.filter(_compare_string(MODEL_FIELDS[condition.key], condition))
    keys = [*_order(order_by, MODEL_ORDERS, kinds=("",)), _Key("name")]
    return _page(rows, _distinct(keys), limit, page_token)


def search_versions(
    user: User, *, filter_text: str = "", order_by: tuple[str, ...] = (), limit: int = 10_000, page_token: str = ""
) -> Page[Any]:
    """Versions of models that ``user`` may read, as named tuples of VERSION_COLUMNS."""
    rows = ModelVersion.objects.live().visible_to(user).filter(model__deleted_at=None)
    conditions, prompts = _without_prompt_rule(parse_filter(filter_text))
    rows = rows.filter(model__is_prompt=prompts)
    keys = _order(order_by, VERSION_ORDERS, kinds=("", "attribute")) or [
        _Key("last_updated_timestamp", descending=True)
    ]
    keys += [_Key("model__name"), _Key("version", descending=True)]
    for condition in conditions:
        if _names_one_model(condition):
            # By an id known beforehand and without the name among the sort keys: then PostgreSQL sees how many versions
            # this very model has, and takes a big one's page from the index instead of sorting all of them.
            named = RegisteredModel.objects.live().filter(name=condition.value)
            rows = rows.filter(model__in=list(named.values_list("pk", flat=True)))
            keys = [key for key in keys if key.field != "model__name"]
        elif condition.kind == "tag":
            rows = rows.filter(_has_tag(VersionTag, "version", condition))
        elif condition.key == "version_number" and condition.kind in ("", "attribute"):
            rows = rows.filter(_compare_number("version", condition))
        else:
            _require_attribute(condition, VERSION_STRINGS)
            if condition.comparator in ("IN", "NOT IN") and condition.key == "source_path":
                raise _bad_comparator(condition)
            rows = rows.filter(_compare_string(VERSION_STRINGS[condition.key], condition))
    return _page(rows.values_list(*VERSION_COLUMNS, named=True), _distinct(keys), limit, page_token)


# -- Conditions --------------------------------------------------------------------------------------------------------


def _without_prompt_rule(conditions: tuple[Condition, ...]) -> tuple[list[Condition], bool]:
    """Conditions on the prompt tag say only whether prompts are wanted: stock clients append one to every search."""
    kept, prompts = [], False
    for condition in conditions:
        if condition.kind == "tag" and condition.key == PROMPT_TAG:
            prompts |= (condition.comparator, condition.value) in (("=", "true"), ("!=", "false"))
        else:
            kept.append(condition)
    return kept, prompts


def _names_one_model(condition: Condition) -> bool:
    is_name = condition.key == "name" and condition.kind in ("", "attribute")
    return is_name and condition.comparator == "=" and isinstance(condition.value, str)


def _require_attribute(condition: Condition, known: dict[str, str]) -> None:
    if condition.kind not in ("", "attribute") or condition.key not in known:
        shown = f"{condition.kind}.{condition.key}" if condition.kind else condition.key
        raise Invalid(
            f"Invalid attribute key '{shown[:100]}' specified. Valid keys are {', '.join(sorted(known))}, and tags.",
            field="filter",
        )


def _bad_comparator(condition: Condition) -> Invalid:
    return Invalid(f"Invalid comparator '{condition.comparator}' for '{condition.key[:100]}'.", field="filter")


def _compare_string(field: str, condition: Condition) -> Q:
    lookup = _STRING_LOOKUPS.get(condition.comparator)
    if lookup is None:
        raise _bad_comparator(condition)
    if not isinstance(condition.value, str | tuple):
        raise Invalid(
            f"The value of '{condition.key[:100]}' must be a quoted string, not {condition.value}.", field="filter"
        )
    found = Q(**{f"{field}__{lookup}": condition.value})
    return ~found if condition.comparator in _NEGATIONS else found


def _compare_number(field: str, condition: Condition) -> Q:
    lookup = _NUMBER_LOOKUPS.get(condition.comparator)
    if lookup is None:
        raise _bad_comparator(condition)
    try:
        number = condition.value if isinstance(condition.value, int) else int(str(condition.value))
    except ValueError as error:
        raise Invalid(
            f"The value of '{condition.key}' must be an integer, not {str(condition.value)[:60]!r}.", field="filter"
        ) from error
    number = max(-1, min(number, 2**31 - 1))  # beyond every version number; the column could not hold more
    found = Q(**{f"{field}__{lookup}": number})
    return ~found if condition.comparator == "!=" else found


def _has_tag(table: type[ModelTag] | type[VersionTag], owner: str, condition: Condition) -> Exists:
    """Whether a row has a tag that fits; ``!=`` wants a tag with another value, not no tag."""
    if condition.comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise _bad_comparator(condition)
    if not isinstance(condition.value, str):
        raise Invalid(f"The value of tag '{condition.key[:100]}' must be a quoted string.", field="filter")
    tags: QuerySet[Any] = table.objects.filter(**{owner: OuterRef("pk"), "key": condition.key})
    if condition.comparator == "=":
        tags = tags.filter(value_hash=value_hash(condition.value), value=condition.value)
    elif condition.comparator == "!=":
        tags = tags.exclude(value=condition.value)
    elif condition.comparator == "LIKE":
        tags = tags.filter(value__like=condition.value)
    else:
        tags = tags.filter(value__ilike=condition.value)
    return Exists(tags)


# -- Order and pages ---------------------------------------------------------------------------------------------------


def _order(order_by: tuple[str, ...], known: dict[str, str], *, kinds: tuple[str, ...]) -> list[_Key]:
    keys = []
    for text in order_by:
        order = parse_order(text)
        if order.kind not in kinds or order.key not in known:
            raise Invalid(
                f"Invalid order by key '{order.key[:100]}' specified. Valid keys are {', '.join(sorted(known))}.",
                field="order_by",
            )
        keys.append(_Key(known[order.key], order.descending))
    if len({key.field for key in keys}) < len(keys):
        raise Invalid("order_by names a key twice.", field="order_by")
    return keys


def _distinct(keys: list[_Key]) -> list[_Key]:
    """The keys with the tie-breaks that are not among them already."""
    seen: dict[str, _Key] = {}
    for key in keys:
        seen.setdefault(key.field, key)
    return list(seen.values())


def _page(rows: QuerySet[Any, Row], keys: list[_Key], limit: int, page_token: str) -> Page[Row]:
    if page_token:
        rows = rows.filter(_after(keys, _position(keys, page_token)))
    found = list(rows.order_by(*(f"-{key.field}" if key.descending else key.field for key in keys))[: limit + 1])
    if len(found) <= limit:
        return Page(found, "")
    return Page(found[:limit], encode_page_token([getattr(found[limit - 1], key.field) for key in keys]))


def _position(keys: list[_Key], page_token: str) -> list[int | str]:
    """The sort values that a token holds. Whatever it is, it ends up in SQL: only plain numbers and texts pass."""
    values = decode_page_token(page_token)
    if not isinstance(values, list) or len(values) != len(keys):
        raise _foreign_token()
    for key, value in zip(keys, values, strict=True):
        fits = type(value) is int if _is_number(key) else _is_text(value)
        if not fits:
            raise _foreign_token()
    return values


def _after(keys: list[_Key], position: list[int | str]) -> Q:
    """The rows behind a position: greater in the first key, or equal there and greater in the second, and so on."""
    condition, equal = Q(), Q()
    for key, value in zip(keys, position, strict=True):
        condition |= equal & Q(**{f"{key.field}__{'lt' if key.descending else 'gt'}": value})
        equal &= Q(**{key.field: value})
    # Implied by the rest; a database starts its index here instead of walking there through all pages before.
    first = keys[0]
    return Q(**{f"{first.field}__{'lte' if first.descending else 'gte'}": position[0]}) & condition


def _foreign_token() -> Invalid:
    return Invalid("Invalid page token: it belongs to another search.", field="page_token")


def _is_number(key: _Key) -> bool:
    return key.field.endswith("timestamp") or key.field == "version"


def _is_text(value: object) -> bool:
    """Text that a database takes: no NUL, no halves of a character."""
    return isinstance(value, str) and "\x00" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
