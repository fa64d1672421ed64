"""Searching models and versions in MLflow's language: the filter to SQL, keyset pages in every order.

The SQL is put together here rather than by the ORM, which would take longer over the statement than the database over
the answer. A page token holds the sort values of the last row, so page 1,000 costs what page 1 does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection

from accounts.models import User
from core.errors import Invalid
from core.json_values import TextAt
from core.lookups import pattern_sql
from core.prepared import ask, ask_once
from core.search import Condition, decode_page_token, encode_page_token, parse_filter, parse_order
from registry.models import PROMPT_TAG, RegisteredModel, sees_every_model
from registry.queries import find_model

Row = TypeVar("Row")

USUAL_SIZES = frozenset({100, 1000, 10_000, 200_000})  # what clients ask for unless told otherwise
FEW = 1000  # versions of a model, which may as well be sorted

_COMPARED = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_page_token: str


class FoundModel(NamedTuple):
    """What a search tells of a model: rows of text and numbers, for pages have a thousand of them."""

    id: int
    name: str
    description: str
    creation_timestamp: int
    last_updated_timestamp: int
    tags_json: str
    aliases_json: str

    @property
    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = orjson.loads(self.tags_json)
        return tags

    @property
    def aliases(self) -> dict[str, int]:
        aliases: dict[str, int] = orjson.loads(self.aliases_json)
        return aliases


class FoundVersion(NamedTuple):
    """What a search tells of a version: pages reach 200,000 rows."""

    name: str
    version: int
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    description: str
    username: str | None
    source: str
    run_id: str
    run_link: str
    status: str
    status_message: str
    logged_model_id: str
    tags_json: str

    @property
    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = orjson.loads(self.tags_json)
        return tags


@dataclass(frozen=True, slots=True)
class _Key:
    """One column of an order: the attribute of a row, and the column that it comes from."""

    attribute: str
    column: str
    descending: bool = False


@dataclass(slots=True)
class _Where:
    """The conditions of a statement, all of which must hold."""

    clauses: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def add(self, clause: str, *params: Any) -> None:
        self.clauses.append(clause)
        self.params += params


_MODEL_STRINGS = {"name": "m.name"}
_MODEL_NAME = _Key("name", "m.name")
_MODEL_UPDATED = _Key("last_updated_timestamp", "m.last_updated_timestamp")
_MODEL_ORDERS = {"name": _MODEL_NAME, "timestamp": _MODEL_UPDATED, "last_updated_timestamp": _MODEL_UPDATED}
_VERSION_STRINGS = {"name": "m.name", "run_id": "v.run_id", "source_path": "v.source"}
_NUMBER = _Key("version", "v.version")
_UPDATED = _Key("last_updated_timestamp", "v.last_updated_timestamp")
_VERSION_ORDERS = {
    "name": _MODEL_NAME,
    "version_number": _NUMBER,
    "creation_timestamp": _Key("creation_timestamp", "v.creation_timestamp"),
    "last_updated_timestamp": _UPDATED,
}
_SELECT_MODELS = (
    "SELECT m.id, m.name, m.description, m.creation_timestamp, m.last_updated_timestamp, m.tags, m.aliases "
    "FROM registry_registeredmodel m"
)
_OF_VERSION = (
    "v.version, v.creation_timestamp, v.last_updated_timestamp, v.current_stage, v.description, "
    "u.username, v.source, v.run_id, v.run_link, v.status, v.status_message, v.logged_model_id, v.tags"
)
_SELECT_VERSIONS = (
    f"SELECT m.name, {_OF_VERSION} FROM registry_modelversion v "
    "JOIN registry_registeredmodel m ON m.id = v.model_id LEFT JOIN accounts_user u ON u.id = v.user_id"
)
_SELECT_LATEST = (
    f"SELECT l.model_id, {_OF_VERSION} FROM registry_latestversion l "
    "JOIN registry_modelversion v ON v.id = l.version_id LEFT JOIN accounts_user u ON u.id = v.user_id"
)


def search_models(
    user: User, *, filter_text: str = "", order_by: tuple[str, ...] = (), limit: int = 100, page_token: str = ""
) -> Page[FoundModel]:
    """Models that ``user`` may read. Prompts are left out unless the filter asks for them."""
    where = _Where()
    conditions, prompts = _without_prompt_rule(parse_filter(filter_text))
    where.add("m.deleted_at IS NULL AND m.is_prompt = %s", prompts)
    for condition in conditions:
        if condition.kind == "tag":
            _has_tag(where, "m.tags", condition)
        else:
            _require_attribute(condition, _MODEL_STRINGS)
            _compare_string(where, _MODEL_STRINGS[condition.key], condition)
    keys = _distinct([*_order(order_by, _MODEL_ORDERS, kinds=("",)), _MODEL_NAME])
    is_usual = not (conditions or order_by or page_token) and limit in USUAL_SIZES and sees_every_model(user)
    if not _only_visible(where, user):
        return Page([], "")
    sql = _statement(_SELECT_MODELS, where, keys, limit, page_token)
    return _page([FoundModel._make(row) for row in _rows(sql, where, is_usual=is_usual)], keys, limit)


def search_versions(
    user: User, *, filter_text: str = "", order_by: tuple[str, ...] = (), limit: int = 10_000, page_token: str = ""
) -> Page[FoundVersion]:
    """Versions of models that ``user`` may read."""
    where = _Where()
    conditions, prompts = _without_prompt_rule(parse_filter(filter_text))
    where.add("v.deleted_at IS NULL AND m.deleted_at IS NULL AND m.is_prompt = %s", prompts)
    keys = _order(order_by, _VERSION_ORDERS, kinds=("", "attribute")) or [_descending(_UPDATED)]
    keys = _distinct([*keys, _MODEL_NAME, _descending(_NUMBER)])
    is_usual = len(conditions) < 2 and not (order_by or page_token) and limit in USUAL_SIZES and sees_every_model(user)
    for condition in conditions:
        if _is_one(condition, "name"):
            # By an id known beforehand and without the name among the sort keys: then PostgreSQL sees how many versions
            # this very model has, and takes a big one's page from the index instead of sorting all of them.
            named = find_model(str(condition.value))
            where.add("v.model_id = %s", named.pk if named else None)
            keys = [key for key in keys if key.attribute != "name"]
            is_usual &= named is not None and named.last_version <= FEW
        elif _is_one(condition, "run_id") and condition.value:
            where.add("v.run_id = %s AND v.run_id <> ''", condition.value)  # as its index says
        else:
            is_usual = False
            _compare_version(where, condition)
    if not _only_visible(where, user):
        return Page([], "")
    sql = _statement(_SELECT_VERSIONS, where, keys, limit, page_token)
    return _page([FoundVersion._make(row) for row in _rows(sql, where, is_usual=is_usual)], keys, limit)


def _rows(sql: str, where: _Where, *, is_usual: bool) -> list[Any]:
    """``is_usual``: it comes often, in few texts (a connection keeps the plan of each), and one plan is the best for
    all values."""
    return (ask if is_usual else ask_once)(sql, where.params)


def latest_of(models: Collection[FoundModel]) -> dict[str, list[FoundVersion]]:
    """By the name of the model, the live version with the highest number in each stage; in one statement."""
    found: dict[str, list[FoundVersion]] = {model.name: [] for model in models}
    names = {model.id: model.name for model in models}
    if not names:
        return found
    among, params = f"IN ({_holes(names)})", list[Any](names)
    if connection.vendor == "postgresql":
        among, params = "= ANY(%s)", [list(names)]
    rows = ask(f"{_SELECT_LATEST} WHERE l.model_id {among} ORDER BY l.model_id, v.version", params)
    for model_id, *row in rows:
        name = names[model_id]
        found[name].append(FoundVersion(name, *row))
    return found


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


def _only_visible(where: _Where, user: User) -> bool:
    """Leave out what ``user`` may not read; False when that is everything."""
    if sees_every_model(user):
        return True
    query = RegisteredModel.objects.visible_to(user).query
    try:
        sql, params = query.get_compiler(connection=connection).compile(query.where)
    except EmptyResultSet:
        return False
    where.add(sql.replace(f"{connection.ops.quote_name(RegisteredModel._meta.db_table)}.", "m."), *params)
    return True


def _is_one(condition: Condition, key: str) -> bool:
    is_key = condition.key == key and condition.kind in ("", "attribute")
    return is_key and condition.comparator == "=" and isinstance(condition.value, str)


def _require_attribute(condition: Condition, known: dict[str, str]) -> None:
    if condition.kind not in ("", "attribute") or condition.key not in known:
        shown = f"{condition.kind}.{condition.key}" if condition.kind else condition.key
        raise Invalid(
            f"Invalid attribute key '{shown[:100]}' specified. Valid keys are {', '.join(sorted(known))}, and tags.",
            field="filter",
        )


def _bad_comparator(condition: Condition) -> Invalid:
    return Invalid(f"Invalid comparator '{condition.comparator}' for '{condition.key[:100]}'.", field="filter")


def _compare_version(where: _Where, condition: Condition) -> None:
    if condition.kind == "tag":
        _has_tag(where, "v.tags", condition)
    elif condition.key == "version_number" and condition.kind in ("", "attribute"):
        _compare_number(where, "v.version", condition)
    else:
        _require_attribute(condition, _VERSION_STRINGS)
        if condition.comparator in ("IN", "NOT IN") and condition.key == "source_path":
            raise _bad_comparator(condition)
        _compare_string(where, _VERSION_STRINGS[condition.key], condition)


def _compare_string(where: _Where, column: str, condition: Condition) -> None:
    if condition.comparator not in ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"):
        raise _bad_comparator(condition)
    if not isinstance(condition.value, str | tuple):
        raise Invalid(
            f"The value of '{condition.key[:100]}' must be a quoted string, not {condition.value}.", field="filter"
        )
    if isinstance(condition.value, tuple):
        where.add(f"{column} {condition.comparator} ({_holes(condition.value)})", *condition.value)
    elif condition.comparator in _COMPARED:
        where.add(f"{column} {_COMPARED[condition.comparator]} %s", condition.value)
    else:
        where.add(*pattern_sql(connection.vendor, column, condition.comparator, condition.value))


def _compare_number(where: _Where, column: str, condition: Condition) -> None:
    if condition.comparator not in _COMPARED:
        raise _bad_comparator(condition)
    try:
        number = condition.value if isinstance(condition.value, int) else int(str(condition.value))
    except ValueError as error:
        raise Invalid(
            f"The value of '{condition.key}' must be an integer, not {str(condition.value)[:60]!r}.", field="filter"
        ) from error
    number = max(-1, min(number, 2**31 - 1))  # beyond every version number; the column could not hold more
    where.add(f"{column} {_COMPARED[condition.comparator]} %s", number)


def _has_tag(where: _Where, column: str, condition: Condition) -> None:
    """Whether a row has a tag that fits; ``!=`` wants a tag with another value, not no tag."""
    key, comparator, value = condition.key, condition.comparator, condition.value
    if comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise _bad_comparator(condition)
    if not isinstance(value, str):
        raise Invalid(f"The value of tag '{key[:100]}' must be a quoted string.", field="filter")
    if comparator == "=" and connection.vendor == "postgresql":
        where.add(f"{column} @> %s::jsonb", orjson.dumps({key: value}).decode())  # by the index of tags
        return
    template = TextAt.postgresql if connection.vendor == "postgresql" else TextAt.sqlite
    found = template.format(column=column, key="%s")
    if comparator in _COMPARED:
        where.add(f"{found} {_COMPARED[comparator]} %s", key, value)
    else:
        clause, pattern = pattern_sql(connection.vendor, found, comparator, value)
        where.add(clause, key, pattern)


def _holes(values: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(values))


# -- Order and pages ---------------------------------------------------------------------------------------------------


def _order(order_by: tuple[str, ...], known: dict[str, _Key], *, kinds: tuple[str, ...]) -> list[_Key]:
    keys = []
    for text in order_by:
        order = parse_order(text)
        if order.kind not in kinds or order.key not in known:
            raise Invalid(
                f"Invalid order by key '{order.key[:100]}' specified. Valid keys are {', '.join(sorted(known))}.",
                field="order_by",
            )
        keys.append(_descending(known[order.key]) if order.descending else known[order.key])
    if len({key.attribute for key in keys}) < len(keys):
        raise Invalid("order_by names a key twice.", field="order_by")
    return keys


def _descending(key: _Key) -> _Key:
    return replace(key, descending=True)


def _distinct(keys: list[_Key]) -> list[_Key]:
    """The keys with the tie-breaks that are not among them already."""
    seen: dict[str, _Key] = {}
    for key in keys:
        seen.setdefault(key.attribute, key)
    return list(seen.values())


def _statement(select: str, where: _Where, keys: list[_Key], limit: int, page_token: str) -> str:
    """One row more than the page holds: whether another page exists."""
    if page_token:
        _add_after(where, keys, _position(keys, page_token))
    order = ", ".join(f"{key.column} DESC" if key.descending else key.column for key in keys)
    return f"{select} WHERE {' AND '.join(where.clauses)} ORDER BY {order} LIMIT {int(limit) + 1}"


def _page(found: list[Row], keys: list[_Key], limit: int) -> Page[Row]:
    if len(found) <= limit:
        return Page(found, "")
    return Page(found[:limit], encode_page_token([getattr(found[limit - 1], key.attribute) for key in keys]))


def _position(keys: list[_Key], page_token: str) -> list[int | str]:
    """The sort values that a token holds. Whatever it is, it ends up in SQL: only plain numbers and texts pass."""
    values = decode_page_token(page_token)
    if not isinstance(values, list) or len(values) != len(keys):
        raise _foreign_token()
    return [_sort_value(key, value) for key, value in zip(keys, values, strict=True)]


def _sort_value(key: _Key, value: object) -> int | str:
    """Beyond every value of the column is as good as at its end."""
    if key.attribute == "name" and _is_text(value):
        return str(value)
    if key.attribute != "name" and type(value) is int:
        most = 2**31 - 1 if key.attribute == "version" else 2**63 - 1
        return max(-most, min(value, most))
    raise _foreign_token()


def _add_after(where: _Where, keys: list[_Key], position: list[int | str]) -> None:
    """The rows behind a position: greater in the first key, or equal there and greater in the second, and so on."""
    first, value = keys[0], position[0]
    # Implied by the rest; a database starts its index here instead of walking there through all pages before.
    where.add(f"{first.column} {'<=' if first.descending else '>='} %s", value)
    clauses, params = [], []
    for at, key in enumerate(keys):
        equal = "".join(f"{before.column} = %s AND " for before in keys[:at])
        clauses.append(f"({equal}{key.column} {'<' if key.descending else '>'} %s)")
        params += position[: at + 1]
    where.add(f"({' OR '.join(clauses)})", *params)


def _foreign_token() -> Invalid:
    return Invalid("Invalid page token: it belongs to another search.", field="page_token")


def _is_text(value: object) -> bool:
    """Text that a database takes: no NUL, no halves of a character."""
    return isinstance(value, str) and "\x00" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
