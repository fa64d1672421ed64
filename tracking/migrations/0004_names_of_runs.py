"""A part of a run's name is found by index: of trigrams on PostgreSQL, where they are offered; SQLite reads an index
through instead of rows with all that was logged."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import ProgrammingError, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TRIGRAMS = "CREATE INDEX run_name_idx ON tracking_run USING gin (run_name gin_trgm_ops)"
WHOLE = "CREATE INDEX run_name_idx ON tracking_run (run_name, lifecycle_stage, start_time, run_id)"


def index(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "postgresql":
        editor.execute(WHOLE)
    elif _has_trigrams(editor):
        editor.execute(TRIGRAMS)


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
    editor.execute("DROP INDEX IF EXISTS run_name_idx")


class Migration(migrations.Migration):
    dependencies = [("tracking", "0003_lists_of_runs")]
    operations = [migrations.RunPython(index, drop_index)]
