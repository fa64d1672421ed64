"""SQL patterns that mean the same on SQLite and PostgreSQL: ``like`` (case counts), ``ilike`` (it does not).

``%`` is any run of characters, ``_`` one; there is no escape character, as in MLflow's search language. ``glob`` takes
``*`` and ``?``, as in grants and policies.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Lookup, TextField
from django.db.models.sql.compiler import SQLCompiler


def _like_to_glob(pattern: str) -> str:
    """For SQLite, whose LIKE ignores case: the same pattern for its GLOB, whose own signs become plain."""
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(sign, sign) for sign in pattern)


class _Pattern(Lookup):
    prepare_rhs = False

    def sql_pattern(self, operator: str, pattern: str, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} {operator} %s", [*params, pattern]


class Like(_Pattern):
    lookup_name = "like"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if connection.vendor == "sqlite":
            return self.sql_pattern("GLOB", _like_to_glob(self.rhs), compiler, connection)
        return self.sql_pattern("LIKE", self.rhs.replace("\\", "\\\\"), compiler, connection)


class ILike(_Pattern):
    lookup_name = "ilike"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if connection.vendor == "sqlite":
            return self.sql_pattern("LIKE", self.rhs, compiler, connection)
        return self.sql_pattern("ILIKE", self.rhs.replace("\\", "\\\\"), compiler, connection)


class Glob(_Pattern):
    lookup_name = "glob"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if connection.vendor == "sqlite":
            return self.sql_pattern("GLOB", self.rhs.replace("[", "[[]"), compiler, connection)
        escaped = self.rhs.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return self.sql_pattern("LIKE", escaped.replace("*", "%").replace("?", "_"), compiler, connection)


for _lookup in (Like, ILike, Glob):
    CharField.register_lookup(_lookup)
    TextField.register_lookup(_lookup)
