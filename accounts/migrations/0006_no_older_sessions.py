"""The table of django.contrib.sessions goes, which is no application of ours any more; the older release finds it again
where it had made it."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.recorder import MigrationRecorder


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("DROP TABLE IF EXISTS django_session")


def make_again(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    here = schema_editor.connection
    if ("sessions", "0001_initial") not in MigrationRecorder(here).applied_migrations():
        return
    schema_editor.execute(
        "CREATE TABLE django_session (session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL, "
        f"expire_date {here.data_types['DateTimeField']} NOT NULL)"
    )
    schema_editor.execute("CREATE INDEX django_session_expire_date ON django_session (expire_date)")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_sessions_are_kept"),
    ]

    operations = [migrations.RunPython(drop, make_again)]
