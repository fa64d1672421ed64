"""SQL patterns that mean the same on SQLite and PostgreSQL: ``like`` (case counts), ``ilike`` (it does not).

``%`` is any run of characters, ``_`` one; there is no escape character, as in MLflow's search language. ``glob`` takes
``*`` and ``?``, as in grants and policies.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Func, Lookup, TextField
from django.db.models.sql.compiler import SQLCompiler


def _like_to_glob(pattern: str) -> str:
    """For SQLite, whose LIKE ignores case: the same pattern for its GLOB, whose own signs become plain."""
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(sign, sign) for sign in pattern)


def pattern_sql(vendor: str, column: str, comparator: str, pattern: str) -> tuple[str, str]:
    """``column LIKE pattern`` or ``column ILIKE pattern`` as SQL with one hole, and what goes there."""
    if vendor != "sqlite":
        return f"{column} {comparator} %s", pattern.replace("\\", "\\\\")
    if comparator == "ILIKE":
        return f"{column} LIKE %s", pattern
    return f"{column} GLOB %s", _like_to_glob(pattern)


class _Like(Lookup):
    prepare_rhs = False
    comparator: str

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        left, params = self.process_lhs(compiler, connection)
        sql, pattern = pattern_sql(connection.vendor, left, self.comparator, self.rhs)
        return sql, [*params, pattern]


class Like(_Like):
    lookup_name = "like"
    comparator = "LIKE"


class ILike(_Like):
    lookup_name = "ilike"
    comparator = "ILIKE"


class Glob(Lookup):
    lookup_name = "glob"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        left, params = self.process_lhs(compiler, connection)
        if connection.vendor == "sqlite":
            return f"{left} GLOB %s", [*params, self.rhs.replace("[", "[[]")]
        escaped = self.rhs.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"{left} LIKE %s", [*params, escaped.replace("*", "%").replace("?", "_")]


class Unindexed(Func):
    """A column for which SQLite takes no index: it does not know how often a value occurs, as PostgreSQL does."""

    arity = 1
    template = "%(expressions)s"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


for _lookup in (Like, ILike, Glob):
    CharField.register_lookup(_lookup)
    TextField.register_lookup(_lookup)
