"""The metrics that the evidence of versions names, as rows.

In steps of their own, so that a million versions are no single transaction: started again it goes on. Backwards there is
nothing to do: the table goes with the migration before.
"""

from __future__ import annotations

import sys

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

VERSIONS_AT_ONCE = 500
ROWS_AT_ONCE = 1000


def write(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    versions, metrics = apps.get_model("registry", "ModelVersion"), apps.get_model("registry", "VersionMetric")
    rows = versions.objects.exclude(evidence=None).order_by("pk")
    last = 0
    while page := list(
        rows.filter(pk__gt=last).values_list("pk", "model_id", "version", "evidence__data__metrics")[:VERSIONS_AT_ONCE]
    ):
        made = [
            metrics(version_id=pk, model_id=model, number=number, name=name, value=value)
            for pk, model, number, known in page
            for name, entry in (known or {}).items()
            if abs(value := float(entry["value"])) < sys.float_info.max  # neither "NaN" nor what stands for infinity
        ]
        metrics.objects.bulk_create(made, batch_size=ROWS_AT_ONCE, ignore_conflicts=True)
        last = page[-1][0]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("registry", "0011_metrics_and_deployments")]

    operations = [migrations.RunPython(write, migrations.RunPython.noop)]
