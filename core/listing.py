"""A list in one column of another statement: rows that belong to a row, where they are few."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func, JSONField, QuerySet, Subquery
from django.db.models.functions import JSONArray
from django.db.models.sql.compiler import SQLCompiler


class ListOf(Subquery):
    """The columns of each row of a queryset, as lists in a list."""

    template = "(SELECT COALESCE(JSONB_AGG(listed.one), '[]') FROM (%(subquery)s) listed)"
    output_field = JSONField()

    def __init__(self, rows: QuerySet[Any, Any], *columns: str) -> None:
        super().__init__(rows.order_by().values(one=JSONArray(*(_as_json(rows, name) for name in columns))))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        template = "(SELECT JSON_GROUP_ARRAY(JSON(listed.one)) FROM (%(subquery)s) listed)"
        return self.as_sql(compiler, connection, template=template)


class _Json(Func):
    """A column of JSON, which SQLite keeps as text."""

    template = "%(expressions)s"
    output_field = JSONField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="JSON(%(expressions)s)")


def _as_json(rows: QuerySet[Any, Any], name: str) -> F | _Json:
    """``name`` may lead to another table, for a column that holds no JSON."""
    is_json = "__" not in name and isinstance(rows.model._meta.get_field(name), JSONField)
    return _Json(name) if is_json else F(name)
