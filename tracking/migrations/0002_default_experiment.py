"""Experiment 0, "Default": MLflow clients without an experiment send "0" and never ask."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create_default(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    experiments = apps.get_model("tracking", "Experiment").objects
    experiments.get_or_create(id=0, defaults={"name": "Default", "artifact_location": "mlflow-artifacts:/0"})


class Migration(migrations.Migration):
    dependencies = [("tracking", "0001_initial")]
    operations = [migrations.RunPython(create_default, migrations.RunPython.noop)]
