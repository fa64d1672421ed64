"""Reading one value out of a JSON column in SQL, under whatever key.

Django's own key transforms take a key of digits for a list index and build SQLite's paths from the key's text; here
the key is always a parameter, and always a key.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, FloatField, Func, TextField, Value
from django.db.models.sql.compiler import SQLCompiler

Sql = tuple[str, tuple[Any, ...]]


class _AtKey(Func):
    """SQL with two holes, the column and the key."""

    sqlite: str
    postgresql: str

    def __init__(self, column: str, key: str) -> None:
        super().__init__(F(column), Value(key))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._fill(self.sqlite, compiler)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._fill(self.postgresql, compiler)

    def _fill(self, template: str, compiler: SQLCompiler) -> Sql:
        column, key = (compiler.compile(source) for source in self.get_source_expressions())
        return template.format(column=column[0], key=key[0]), (*column[1], *key[1])


class TextAt(_AtKey):
    """The string under ``key`` of a JSON object; null when the key is absent."""

    output_field = TextField()
    sqlite = "(SELECT value FROM json_each({column}) WHERE key = {key})"
    postgresql = "({column} ->> {key}::text)"


class HasText(Func):
    """Whether a JSON object has this string under ``key``; PostgreSQL sees so by the index of a column."""

    output_field = BooleanField()

    def __init__(self, column: str, key: str, text: str) -> None:
        super().__init__(F(column), Value(key), Value(text))
        # As every writer of JSON writes it; of any other text there are several forms.
        self.written = f'"{text}"' if text.isascii() and text.isprintable() and not set('"\\') & set(text) else ""

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        """What does not even contain the text is not read as JSON, which would take twice as long."""
        sql, params = self._fill(f"{TextAt.sqlite} = {{text}}", compiler)
        if not self.written:
            return sql, params
        column, *_ = self.get_source_expressions()
        contains, before = compiler.compile(Func(column, Value(self.written), function="INSTR"))
        return f"({contains} AND {sql})", (*before, *params)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._fill("{column} @> jsonb_build_object({key}::text, {text}::text)", compiler)

    def _fill(self, template: str, compiler: SQLCompiler) -> Sql:
        column, key, text = (compiler.compile(source) for source in self.get_source_expressions())
        sql = template.format(column=column[0], key=key[0], text=text[0])
        return sql, (*column[1], *key[1], *text[1])


class NumberAt(_AtKey):
    """The number that ``{key: {"value": number}}`` holds under ``key``; null when it is absent or "NaN"."""

    output_field = FloatField()
    sqlite = "(SELECT NULLIF(json_extract(value, '$.value'), 'NaN') FROM json_each({column}) WHERE key = {key})"
    postgresql = "NULLIF({column} -> {key}::text ->> 'value', 'NaN')::float8"


class LatestNumber(Func):
    """Of a JSON list of ``{"key", "value", "timestamp", "step", …}``: the value of the latest entry with this key.

    With ``datasets``, pairs of name and digest ("" for any), only of entries that were measured on one of them. Null
    when there is none, or when it is "NaN".
    """

    output_field = FloatField()

    def __init__(self, column: str, key: str, datasets: tuple[tuple[str, str], ...] = ()) -> None:
        wanted = [Value(text) for name, digest in datasets for text in (name, digest, digest)]
        super().__init__(F(column), Value(key), *wanted)
        self.dataset_count = len(datasets)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._latest(
            compiler, rows="json_each({column})", field="json_extract(entry.value, '$.{field}')", float8="", int8=""
        )

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._latest(
            compiler,
            rows="jsonb_array_elements({column})",
            field="(entry.value ->> '{field}')",
            float8="::float8",
            int8="::int8",
        )

    def _latest(self, compiler: SQLCompiler, *, rows: str, field: str, float8: str, int8: str) -> Sql:
        column, *wanted = (compiler.compile(source) for source in self.get_source_expressions())
        key, value, timestamp, step = (field.format(field=name) for name in ("key", "value", "timestamp", "step"))
        on_one = _on_one(field, self.dataset_count)
        # Only words of this module are put together here; what a client sent are parameters.
        select = f"SELECT NULLIF({value}, 'NaN'){float8} FROM {rows.format(column=column[0])} AS entry"  # noqa: S608
        where = f"WHERE {key} = %s" + (f" AND ({on_one})" if on_one else "")
        sql = f"({select} {where} ORDER BY {timestamp}{int8} DESC, {step}{int8} DESC LIMIT 1)"
        return sql, (*column[1], *(text for _, params in wanted for text in params))


class AnyEntryOn(Func):
    """Whether a JSON list of ``{"dataset_name", "dataset_digest", …}`` has an entry measured on one of the datasets.

    ``datasets`` are pairs of name and digest, "" for any digest.
    """

    output_field = BooleanField()

    def __init__(self, column: str, datasets: tuple[tuple[str, str], ...]) -> None:
        super().__init__(F(column), *(Value(text) for name, digest in datasets for text in (name, digest, digest)))
        self.dataset_count = len(datasets)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._any(compiler, rows="json_each({column})", field="json_extract(entry.value, '$.{field}')")

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any) -> Sql:
        return self._any(compiler, rows="jsonb_array_elements({column})", field="(entry.value ->> '{field}')")

    def _any(self, compiler: SQLCompiler, *, rows: str, field: str) -> Sql:
        column, *wanted = (compiler.compile(source) for source in self.get_source_expressions())
        on_one = _on_one(field, self.dataset_count)
        sql = f"EXISTS (SELECT 1 FROM {rows.format(column=column[0])} AS entry WHERE {on_one})"  # noqa: S608
        return sql, (*column[1], *(text for _, params in wanted for text in params))


def _on_one(field: str, count: int) -> str:
    """SQL with three holes for each of ``count`` datasets: its name, and its digest twice."""
    name, digest = field.format(field="dataset_name"), field.format(field="dataset_digest")
    return " OR ".join([f"({name} = %s AND (%s = '' OR {digest} = %s))"] * count)
