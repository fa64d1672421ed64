"""Statements compiled once and run with new values ever after.

Building a statement costs Django ten times what running it does (1.9 ms of CPU against 0.2 for the look-up of a
token). The hot look-ups and updates keep their QuerySet form, and with it one meaning on SQLite and PostgreSQL, but pay
for it once per process. On PostgreSQL the server keeps the plan as well. ``save``, ``insert`` and ``put`` are what
``Model.save`` and ``bulk_create`` do to one table, without the signals and the parents that no model here has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.backends.utils import CursorWrapper
from django.db.models import Field, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.subqueries import UpdateQuery

M = TypeVar("M", bound=Model)
_LARGEST = 2**63 - 1


Places = tuple[tuple[int, int], ...]  # position among the params of a statement, and which value goes there


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    params: tuple[Any, ...]
    places: Places
    compiler: SQLCompiler
    converters: dict[int, Any]
    model: type[Any]
    columns: slice  # of a row, those of the model itself
    names: list[str]  # of these columns
    related: list[Any]
    locks: bool


class Prepared(Generic[M]):
    """``build`` makes a queryset of model instances from values of these ``kinds``: str, int or datetime.

    The values must reach the statement as they are (``filter(name=value)``, not a pattern made from it), and their
    number cannot vary. Related rows come by ``select_related``.
    """

    def __init__(self, build: Callable[..., QuerySet[M]], *kinds: type) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[str, _Statement] = {}

    def first(self, *values: Any) -> M | None:
        """The only or the first row; the queryset itself limits how many there are."""
        found = self.all(*values)
        return found[0] if found else None

    def all(self, *values: Any) -> list[M]:
        statement = self._compiled.get(connection.vendor) or self._compile()
        if statement.locks and not connection.in_atomic_block:
            raise transaction.TransactionManagementError("select_for_update cannot be used outside of a transaction.")
        if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
            return []  # no column holds such a number, and SQLite's driver would not take it
        with _cursor() as cursor:
            cursor.execute(statement.sql, _filled(statement.params, statement.places, values))
            rows: Sequence[Any] = cursor.fetchall()
        if statement.converters:
            rows = list(statement.compiler.apply_converters(rows, statement.converters))
        return [self._instance(statement, row) for row in rows]

    def _compile(self) -> _Statement:
        marks = [_mark(kind, index) for index, kind in enumerate(self._kinds)]
        queryset = self._build(*marks)
        compiler = queryset.query.get_compiler(using=queryset.db)
        sql, params = compiler.as_sql()
        info = compiler.klass_info
        first, last = info["select_fields"][0], info["select_fields"][-1] + 1
        statement = _Statement(
            sql=sql,
            params=tuple(params),
            places=_places(sql, params, marks),
            compiler=compiler,
            converters=compiler.get_converters([column[0] for column in compiler.select]),
            model=info["model"],
            columns=slice(first, last),
            names=[column[0].target.attname for column in compiler.select[first:last]],
            related=get_related_populators(info, compiler.select, queryset.db),  # type: ignore[call-arg]  # stubs of Django 6
            locks=queryset.query.select_for_update,
        )
        self._compiled[connection.vendor] = statement
        return statement

    def _instance(self, statement: _Statement, row: Sequence[Any]) -> M:
        instance: M = statement.model.from_db(connection.alias, statement.names, row[statement.columns])
        for populator in statement.related:
            populator.populate(row, instance)
        return instance


class PreparedUpdate:
    """``build`` makes a queryset, and what to write to its rows, from values of these ``kinds``, as with Prepared."""

    def __init__(self, build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]], *kinds: type) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[str, tuple[str, tuple[Any, ...], Places]] = {}

    def run(self, *values: Any) -> int:
        """How many rows were written."""
        sql, params, places = self._compiled.get(connection.vendor) or self._compile()
        with _cursor() as cursor:
            cursor.execute(sql, _filled(params, places, values))
            return int(cursor.rowcount)

    def _compile(self) -> tuple[str, tuple[Any, ...], Places]:
        marks = [_mark(kind, index) for index, kind in enumerate(self._kinds)]
        queryset, written = self._build(*marks)
        query: UpdateQuery = queryset.query.chain(UpdateQuery)  # type: ignore[assignment]
        query.add_update_values(written)
        sql, params = query.get_compiler(using=queryset.db).as_sql()
        compiled = self._compiled[connection.vendor] = (sql, tuple(params), _places(sql, params, marks))
        return compiled


def save(row: Model, *names: str) -> None:
    """``row.save(update_fields=names)``, as one statement."""
    sql, fields = _update_sql(type(row), names, connection.vendor)
    with _cursor() as cursor:
        cursor.execute(sql, [*_column_values(row, fields), row.pk])
        if cursor.rowcount != 1:
            raise DatabaseError(f"{row} is not there any more.")


def insert(row: M) -> M:
    """``row.save(force_insert=True)`` of a row without a key: the database gives it one."""
    sql, fields = _insert_sql(type(row), connection.vendor)
    with _cursor() as cursor:
        cursor.execute(sql, _column_values(row, fields, add=True))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias
    return row


def put(rows: Sequence[Model], *, unique: Sequence[str], where: str = "", update: Sequence[str] = ()) -> None:
    """Insert rows; where ``unique`` fields (of a partial index, with its condition as SQL) are taken, write ``update``
    to the row that is there, or leave it alone."""
    if not rows:
        return
    sql, fields = _put_sql(type(rows[0]), len(rows), tuple(unique), where, tuple(update), connection.vendor)
    with _cursor() as cursor:
        cursor.execute(sql, [value for row in rows for value in _column_values(row, fields, add=True)])


@lru_cache(maxsize=256)
def _update_sql(model: type[Model], names: tuple[str, ...], _vendor: str) -> tuple[str, list[Field[Any, Any]]]:
    fields = [_field(model, name) for name in names]
    written = ", ".join(f"{_column(field)} = %s" for field in fields)
    key = _column(model._meta.pk)
    return f"UPDATE {_quoted(model._meta.db_table)} SET {written} WHERE {key} = %s", fields


@lru_cache(maxsize=256)
def _insert_sql(model: type[Model], _vendor: str, rows: int = 1) -> tuple[str, list[Field[Any, Any]]]:
    key = model._meta.pk
    fields = [field for field in model._meta.concrete_fields if field is not key]
    holes = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * rows)
    columns = ", ".join(_column(field) for field in fields)
    returning = f" RETURNING {_column(key)}" if rows == 1 else ""
    return f"INSERT INTO {_quoted(model._meta.db_table)} ({columns}) VALUES {holes}{returning}", fields


@lru_cache(maxsize=256)
def _put_sql(
    model: type[Model], rows: int, unique: tuple[str, ...], where: str, update: tuple[str, ...], vendor: str
) -> tuple[str, list[Field[Any, Any]]]:
    sql, fields = _insert_sql(model, vendor, rows)
    sql = sql.partition(" RETURNING ")[0]
    columns = ", ".join(_column(_field(model, name)) for name in unique)
    condition = f" WHERE {where}" if where else ""
    changed = [_column(_field(model, name)) for name in update]
    written = ", ".join(f"{column} = EXCLUDED.{column}" for column in changed)
    action = f"UPDATE SET {written}" if written else "NOTHING"
    return f"{sql} ON CONFLICT ({columns}){condition} DO {action}", fields


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    field = model._meta.get_field(name)
    if not isinstance(field, Field):
        raise TypeError(f"{name} is no column of {model.__name__}.")
    return field


def _column(field: Field[Any, Any]) -> str:
    return _quoted(field.column or field.attname)


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _column_values(row: Model, fields: Sequence[Field[Any, Any]], *, add: bool = False) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, add), connection) for field in fields]


def _places(sql: str, params: Sequence[Any], marks: Sequence[Any]) -> Places:
    adapted = [_adapted(mark) for mark in marks]
    places = tuple((at, adapted.index(param)) for at, param in enumerate(params) if param in adapted)
    if {index for _, index in places} != set(range(len(marks))):
        raise RuntimeError(f"A value does not reach this statement as it is: {sql}")
    return places


def _filled(params: tuple[Any, ...], places: Places, values: Sequence[Any]) -> list[Any]:
    filled = list(params)
    for position, index in places:
        filled[position] = _adapted(values[index])
    return filled


def _cursor() -> CursorWrapper:
    """A cursor whose statements PostgreSQL plans once per connection; Django's own binds values on the client."""
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.ensure_connection()
    own = connection.connection
    usual, own.cursor_factory = own.cursor_factory, ServerBindingCursor
    try:
        return connection.cursor()
    finally:
        own.cursor_factory = usual


def _mark(kind: type, index: int) -> Any:
    """A value that no statement has of its own."""
    if kind is int:
        return 2_000_000_000 + index
    if kind is datetime:
        return datetime(1, 1, 1 + index, tzinfo=UTC)
    return f"\x02value {index}\x03"


def _adapted(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
