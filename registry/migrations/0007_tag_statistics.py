"""A tag's key, hash and value go together: PostgreSQL took a common tag for a rare one and sorted all that have it."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("registry_modeltag", "registry_versiontag")


def learn(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for table in TABLES:
            editor.execute(f"CREATE STATISTICS {table}_together (dependencies) ON key, value_hash, value FROM {table}")


def forget(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for table in TABLES:
            editor.execute(f"DROP STATISTICS {table}_together")


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_run_readings")]

    operations = [migrations.RunPython(learn, forget)]
