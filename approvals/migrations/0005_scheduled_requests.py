from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The task of every minute finds what is due by an index."""

    dependencies = [("approvals", "0004_threads_and_schedules")]

    operations = [
        migrations.AddIndex(
            model_name="transitionrequest",
            index=models.Index(
                condition=models.Q(("not_before__isnull", False), ("state", "open")),
                fields=["not_before"],
                name="request_scheduled_idx",
            ),
        ),
    ]
