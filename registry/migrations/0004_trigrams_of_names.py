"""LIKE '%part%' on names by index, on PostgreSQL. Where pg_trgm may not be created the search works without it."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import ProgrammingError, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

INDEX = "CREATE INDEX model_name_trigram_idx ON registry_registeredmodel USING gin (name gin_trgm_ops)"


def index(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql" and _has_trigrams(editor):
        editor.execute(INDEX)


def _has_trigrams(editor: BaseDatabaseSchemaEditor) -> bool:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if cursor.fetchone() is None:
            return False
        try:
            with transaction.atomic(using=editor.connection.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except ProgrammingError:  # this role may not create extensions
            return False
    return True


def drop_index(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP INDEX IF EXISTS model_name_trigram_idx")


class Migration(migrations.Migration):
    dependencies = [("registry", "0003_lean_indexes")]
    operations = [migrations.RunPython(index, drop_index)]
