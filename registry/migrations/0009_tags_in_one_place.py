"""Tags are the JSON beside the row and nothing else: docs/decisions/json-beside-the-row.md.

PostgreSQL finds them by an index of that column. Without its list of what is still to be entered, so that a search never
has to read through one. Who registered a version and its evidence are never looked for from the other side: their indexes go as well.
Not reversible: the tables would come back empty.
"""

from __future__ import annotations

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

INDEXES = {"model_tags_idx": "registry_registeredmodel", "version_tags_idx": "registry_modelversion"}


def index(_apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for name, table in INDEXES.items():
            editor.execute(
                f"CREATE INDEX {name} ON {table} USING gin (tags jsonb_path_ops) WITH (fastupdate = off) "
                "WHERE deleted_at IS NULL"
            )


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("registry", "0008_index_every_order"),
    ]

    operations = [
        migrations.DeleteModel(name="ModelTag"),
        migrations.DeleteModel(name="VersionTag"),
        migrations.RunPython(index),
        migrations.AlterField(
            model_name="modelversion",
            name="evidence",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="registry.evidence",
            ),
        ),
        migrations.AlterField(
            model_name="modelversion",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
