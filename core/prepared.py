"""Statements compiled once and run with new values ever after.

Building a statement costs Django ten times what running it does (1.9 ms of CPU against 0.2 for the look-up of a
token). The hot look-ups and updates keep their QuerySet form, and with it one meaning on SQLite and PostgreSQL, but pay
for it once per process: once for all values (``Prepared``, ``PreparedUpdate``), once for each length of a list
(``Many``), or once for all that the statement is made from, where its shape differs with who asks (``Compiled``). Rows
come back as instances, or as the tuples of a ``values_list``.

On PostgreSQL the server keeps the plan as well. ``planned_anew`` is for what is better planned for its values
(docs/decisions/planned-once.md).

``together`` asks several things at once, and ``accompany`` has a look-up travel with whatever is asked next; nothing is
written by this module before it has. ``ask``, ``ask_once`` and ``write`` take SQL.

``save``, ``insert``, ``add`` and ``put`` are what ``Model.save`` and ``bulk_create`` do to one table, without the
signals and the parents that no model here has. What answers nothing is sent with the next statement or the commit, and
its faults are raised there (core.postgres).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import Field, Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.subqueries import UpdateQuery

from core.postgres.base import DatabaseWrapper as PostgreSQL
from core.postgres.messages import Once, Statement

M = TypeVar("M")
R = TypeVar("R", bound=Model)
_LARGEST = 2**63 - 1
NO_KEY = 0  # of no row: for a list that may be empty where the other conditions still find some
# Rows of an INSERT, and values of all lists of a look-up, as for the rows of a page: the text differs with their
# number, and both the process and the connection keep each.
MOST_PLANNED = 25

Places = tuple[tuple[int, int], ...]  # position among the params of a statement, and which value goes there


@dataclass(frozen=True, slots=True)
class Many:
    """A kind of value: a list of these, for ``__in``. There is a statement for each length, and no row for no value."""

    kind: type


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    params: tuple[Any, ...]
    places: Places
    compiler: SQLCompiler
    converters: dict[int, Any]
    reading: _Reading | None  # of instances; None where rows are tuples (``values_list``)
    annotations: tuple[tuple[str, int], ...]  # names and the positions of their columns
    locks: bool

    @classmethod
    def of(cls, queryset: QuerySet[Any, Any], marks: Sequence[Any] = (), kinds: Sequence[type] = ()) -> _Statement:
        compiler = queryset.query.get_compiler(using=queryset.db)
        sql, params = compiler.as_sql()
        places = _places(sql, params, marks)
        return cls(
            sql=_with_large_numbers(sql, places, kinds),
            params=tuple(params),
            places=places,
            compiler=compiler,
            converters=compiler.get_converters([column[0] for column in compiler.select]),
            reading=_Reading(compiler.klass_info, compiler.select) if queryset._fields is None else None,  # type: ignore[attr-defined]
            annotations=tuple((compiler.annotation_col_map or {}).items()),
            locks=queryset.query.select_for_update,
        )

    def ask(self) -> list[Any]:
        """The rows for the values that it was written with."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self.params)
            return self.rows(cursor.fetchall())

    def rows(self, rows: Sequence[Any]) -> list[Any]:
        """Instances or tuples, from what the database answered."""
        if self.converters:
            rows = list(self.compiler.apply_converters(rows, self.converters))
        if self.reading is None:
            return [tuple(row) for row in rows]
        found = [self.reading.instance(row) for row in rows]
        for instance, row in zip(found, rows, strict=True) if self.annotations else ():
            instance.__dict__.update((name, row[column]) for name, column in self.annotations)
        return found


class _Reading:
    """How a row becomes an instance with its related ones: as by ``from_db``, less the signals and the checks that a
    constructor makes of its arguments, which cost more than the row."""

    def __init__(self, info: dict[str, Any], select: Sequence[Any]) -> None:
        first, last = info["select_fields"][0], info["select_fields"][-1] + 1
        self._model: type[Model] = info["model"]
        self._columns = slice(first, last)
        self._names = [column[0].target.attname for column in select[first:last]]
        self._key = first + self._names.index(self._model._meta.pk.attname)
        self._related = [
            (_Reading(related, select), related["local_setter"], related["remote_setter"])
            for related in info.get("related_klass_infos", ())
        ]

    def instance(self, row: Sequence[Any]) -> Any:
        """None where a related row is not there."""
        if row[self._key] is None:
            return None
        instance = self._model.__new__(self._model)
        instance._state = state = ModelState()
        state.adding, state.db = False, DEFAULT_DB_ALIAS
        instance.__dict__.update(zip(self._names, row[self._columns], strict=True))
        for reading, put_here, put_there in self._related:
            related = reading.instance(row)
            put_here(instance, related)
            if related is not None:
                put_there(related, instance)
        return instance


class Prepared(Generic[M]):
    """``build`` makes a queryset from values of these ``kinds``: str, int, float, datetime, or ``Many`` of one.

    The values must reach the statement as they are (``filter(name=value)``, not a pattern made from it), and their
    number cannot vary but for ``Many``. Related rows come by ``select_related``, annotations as attributes; the rows of
    a ``values_list`` are tuples.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, M]], *kinds: type | Many) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[tuple[str, tuple[int, ...]], _Statement] = {}

    def first(self, *values: Any) -> M | None:
        """The only or the first row; the queryset itself limits how many there are."""
        found = self.all(*values)
        return found[0] if found else None

    def all(self, *values: Any) -> list[M]:
        return together(self.of(*values))[0]

    def of(self, *values: Any) -> LookUp[M]:
        """What ``all`` asks, to be asked ``together`` with others."""
        return LookUp(
            self,
            tuple(
                list(value) if isinstance(value, Collection) and not isinstance(value, str) else value
                for value in values
            ),
        )

    def compiled(self, lengths: tuple[int, ...]) -> _Statement:
        """For lists of these lengths; it is kept where ``_is_kept`` says so."""
        found = self._compiled.get((connection.vendor, lengths))
        if found is None:
            found = self._compile(lengths)
            if _is_kept(lengths):
                self._compiled[connection.vendor, lengths] = found
        if found.locks and not connection.in_atomic_block:
            raise transaction.TransactionManagementError("select_for_update cannot be used outside of a transaction.")
        return found

    def _compile(self, lengths: Sequence[int]) -> _Statement:
        left, marks, kinds, values = iter(lengths), list[Any](), list[type](), list[Any]()
        for kind in self._kinds:
            each = kind.kind if isinstance(kind, Many) else kind
            new = [_mark(each, len(marks) + at) for at in range(next(left) if isinstance(kind, Many) else 1)]
            marks += new
            kinds += [each] * len(new)
            values.append(new if isinstance(kind, Many) else new[0])
        return _Statement.of(self._build(*values), marks, kinds)


def _is_kept(lengths: Sequence[int]) -> bool:
    """Whether a statement with lists of these lengths, and its plan, are worth keeping."""
    return sum(lengths) <= MOST_PLANNED


@dataclass(frozen=True, slots=True)
class LookUp(Generic[M]):
    prepared: Prepared[M]
    values: tuple[Any, ...]

    @property
    def is_answerable(self) -> bool:
        """Not for an empty list; and no column holds a larger number, which SQLite's driver would not take."""
        if any(value == [] for value in self.values):
            return False
        return not any(isinstance(value, int) and abs(value) > _LARGEST for value in self._flat())

    def _flat(self) -> list[Any]:
        return [each for value in self.values for each in (value if isinstance(value, list) else [value])]

    def compiled(self) -> tuple[_Statement, Statement]:
        """How it is read, and what is sent."""
        lengths = tuple(len(value) for value in self.values if isinstance(value, list))
        found = self.prepared.compiled(lengths)
        params = _filled(found.params, found.places, self._flat())
        return found, (found.sql, params) if _is_kept(lengths) else Once(found.sql, params)


_companion: ContextVar[tuple[LookUp[Any], Callable[[list[Any]], None]] | None]
_companion = ContextVar("companion", default=None)


def accompany(look_up: LookUp[M], take: Callable[[list[M]], None]) -> None:
    """Have a look-up travel with whatever is asked next in this thread. ``take`` gets its rows first, and when it
    raises nobody gets any others."""
    _companion.set((look_up, take))


def forget_companion() -> None:
    """What has not travelled by now stays: no other request of this thread is to meet it."""
    _companion.set(None)


def alone() -> None:
    """What should have accompanied others and has not yet travels now."""
    if _companion.get() is not None:
        together()


def together(*look_ups: LookUp[Any]) -> list[list[Any]]:
    """The rows of each, asked one after the other in one message where the database takes several."""
    asked = [look_up.compiled() if look_up.is_answerable else None for look_up in look_ups]
    found = iter(_asked([sent for _, sent in filter(None, asked)]))
    return [each[0].rows(next(found)) if each else [] for each in asked]


def _asked(statements: Sequence[Statement]) -> list[list[Any]]:
    """Their rows, after those of what accompanies them."""
    companion = _companion.get()
    if companion is None:
        return _rows(statements)
    _companion.set(None)
    look_up, take = companion
    compiled, sent = look_up.compiled()
    rows, *others = _rows([sent, *statements])
    take(compiled.rows(rows))
    return others


class PreparedUpdate:
    """``build`` makes a queryset, and what to write to its rows, from values of these ``kinds``, as with Prepared."""

    def __init__(self, build: Callable[..., tuple[QuerySet[Any], dict[str, Any]]], *kinds: type) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[str, tuple[str, tuple[Any, ...], Places]] = {}

    def run(self, *values: Any) -> None:
        sql, params, places = self._compiled.get(connection.vendor) or self._compile()
        write(sql, _filled(params, places, values))

    def _compile(self) -> tuple[str, tuple[Any, ...], Places]:
        marks = [_mark(kind, index) for index, kind in enumerate(self._kinds)]
        queryset, written = self._build(*marks)
        query: UpdateQuery = queryset.query.chain(UpdateQuery)  # type: ignore[assignment]
        query.add_update_values(written)
        sql, params = query.get_compiler(using=queryset.db).as_sql()
        compiled = self._compiled[connection.vendor] = (sql, tuple(params), _places(sql, params, marks))
        return compiled


class Compiled:
    """Statements whose shape differs with who asks, by all that they are built from: ``build`` may look at nothing that
    is not in the key. What they answer is never kept."""

    def __init__(self, *, most: int = 300) -> None:
        self._most = most
        self._statements: dict[Hashable, _Statement] = {}

    def rows(self, key: Hashable, build: Callable[[], QuerySet[Any, M]]) -> list[M]:
        """Instances, or tuples of a ``values_list``."""
        key = connection.vendor, key
        found = self._statements.get(key)
        if found is None:
            if len(self._statements) >= self._most:
                self._statements.clear()
            try:
                found = self._statements[key] = _Statement.of(build())
            except EmptyResultSet:
                return []
        return found.ask()


def save(row: Model, *names: str) -> None:
    """``row.save(update_fields=names)`` of a row that this transaction has locked or made: nobody asks whether it is
    still there."""
    sql, fields = _update_sql(type(row), names, connection.vendor)
    write(sql, [*_column_values(row, fields), row.pk])


def insert(row: R) -> R:
    """``row.save(force_insert=True)`` of a row without a key: the database gives it one."""
    _gets_key(row, *_insert_sql(type(row), connection.vendor))
    return row


def add(row: Model) -> None:
    """Insert a row whose key nobody needs."""
    sql, fields = _insert_sql(type(row), connection.vendor)
    write(sql, _column_values(row, fields, add=True))


def put(rows: Sequence[Model], *, unique: Sequence[str], where: str = "", update: Sequence[str] = ()) -> None:
    """Insert rows; where ``unique`` fields (of a partial index, with its condition as SQL) are taken, write ``update``
    to the row that is there, or leave it alone."""
    if rows:
        sql, fields = _put_sql(type(rows[0]), len(rows), tuple(unique), where, tuple(update), connection.vendor)
        values = [value for row in rows for value in _column_values(row, fields, add=True)]
        write(sql, values, once=len(rows) > MOST_PLANNED)


def insert_or_leave(row: Model, *, unique: Sequence[str]) -> bool:
    """Insert a row, with its key from the database; False where ``unique`` fields are taken."""
    return _gets_key(row, *_put_sql(type(row), 1, tuple(unique), "", (), connection.vendor))


def _gets_key(row: Model, sql: str, fields: Sequence[Field[Any, Any]]) -> bool:
    alone()
    [found] = _rows([(f"{sql} RETURNING {_column(row._meta.pk)}", _column_values(row, fields, add=True))])
    if found:
        row.pk, row._state.adding, row._state.db = found[0][0], False, connection.alias
    return bool(found)


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
    return f"INSERT INTO {_quoted(model._meta.db_table)} ({columns}) VALUES {holes}", fields


@lru_cache(maxsize=256)
def _put_sql(
    model: type[Model], rows: int, unique: tuple[str, ...], where: str, update: tuple[str, ...], vendor: str
) -> tuple[str, list[Field[Any, Any]]]:
    sql, fields = _insert_sql(model, vendor, rows)
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


def _with_large_numbers(sql: str, places: Places, kinds: Sequence[type]) -> str:
    """PostgreSQL would take a number for one of the column's size, and find fault with a larger one."""
    if connection.vendor != "postgresql":
        return sql
    numbers = {at for at, index in places if kinds[index] is int}
    first, *rest = sql.split("%s")
    return first + "".join(f"%s{'::bigint' if at in numbers else ''}{part}" for at, part in enumerate(rest))


def _filled(params: tuple[Any, ...], places: Places, values: Sequence[Any]) -> list[Any]:
    filled = list(params)
    for position, index in places:
        filled[position] = _adapted(values[index])
    return filled


def _rows(statements: Sequence[Statement]) -> list[list[Any]]:
    here = connections[DEFAULT_DB_ALIAS]
    if isinstance(here, PostgreSQL):
        return here.ask(statements)
    found = []
    for sql, params in statements:
        with here.cursor() as cursor:
            cursor.execute(sql, params)
            found.append(cursor.fetchall())
    return found


def ask(sql: str, params: Sequence[Any]) -> list[Any]:
    """The rows of a statement that is planned once, whatever its values; ``jsonb`` as text."""
    return _asked([(sql, params)])[0]


def ask_once(sql: str, params: Sequence[Any]) -> list[Any]:
    """The same for a statement whose best plan depends on its values, or that will hardly be asked again."""
    return _asked([Once(sql, params)])[0]


def planned_anew(rows: QuerySet[R]) -> list[R]:
    """The rows of a queryset whose best plan depends on its values: of a list that somebody filters. They are read as
    those of ``Prepared``; by Django, which takes longer, where it brings other rows along."""
    with planning_anew():
        if rows._prefetch_related_lookups or rows._known_related_objects:  # type: ignore[attr-defined]
            return list(rows)
        try:
            return _Statement.of(rows).ask()
        except EmptyResultSet:
            return []


def planning_anew() -> AbstractContextManager[None]:
    """The same for all that is asked within."""
    here = connections[DEFAULT_DB_ALIAS]
    return here.planning_anew() if isinstance(here, PostgreSQL) else nullcontext()


def write(sql: str, params: Sequence[Any], *, once: bool = False) -> None:
    """A statement that answers nothing, and may wait for the next one. ``once``: its plan is not worth keeping."""
    alone()
    here, statement = connections[DEFAULT_DB_ALIAS], Once(sql, params) if once else (sql, params)
    if isinstance(here, PostgreSQL):
        here.write(statement)
    else:
        _rows([statement])


def _mark(kind: type, index: int) -> Any:
    """A value that no statement has of its own."""
    if kind is int:
        return 2_000_000_000 + index
    if kind is float:
        return 2_000_000_000.5 + index
    if kind is datetime:
        return datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=index)
    return f"\x02value {index}\x03"


def _adapted(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
