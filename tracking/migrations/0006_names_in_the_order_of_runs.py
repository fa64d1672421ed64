"""SQLite looks for a part of a run's name from the newest run on, in an index that has all it needs for that: it stops
when it has found enough, and reads no rows with all that was logged beside their names.

No FTS5 table of trigrams: it would name runs by a number that VACUUM gives anew, and have all runs sorted for a word that
most names have.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BY_NAME = "(run_name, lifecycle_stage, start_time, run_id)"
NEWEST_FIRST = "(start_time DESC, run_id, lifecycle_stage, run_name)"


def order_by_time(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _index(editor, NEWEST_FIRST)


def order_by_name(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _index(editor, BY_NAME)


def _index(editor: BaseDatabaseSchemaEditor, columns: str) -> None:
    if editor.connection.vendor != "postgresql":
        editor.execute("DROP INDEX IF EXISTS run_name_idx")
        editor.execute(f"CREATE INDEX run_name_idx ON tracking_run {columns}")


class Migration(migrations.Migration):
    dependencies = [("tracking", "0005_counts_of_runs")]
    operations = [migrations.RunPython(order_by_time, order_by_name)]
