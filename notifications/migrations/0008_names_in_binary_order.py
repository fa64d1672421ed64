"""Names of models are compared with those of the registry: an index serves that only under one collation."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def collate(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute('ALTER TABLE notifications_event ALTER COLUMN model_name TYPE varchar(256) COLLATE "C"')


class Migration(migrations.Migration):
    dependencies = [("notifications", "0007_active_since")]
    operations = [migrations.RunPython(collate, migrations.RunPython.noop)]
