"""Names sort and page in binary order, as MLflow answers them: SQLite does so by itself, PostgreSQL by collation "C"."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def collate(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute('ALTER TABLE registry_registeredmodel ALTER COLUMN name TYPE varchar(256) COLLATE "C"')


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [migrations.RunPython(collate, migrations.RunPython.noop)]
