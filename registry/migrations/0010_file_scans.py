from __future__ import annotations

from django.db import migrations, models

import core.clock


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0009_tags_in_one_place"),
    ]

    operations = [
        migrations.CreateModel(
            name="FileScan",
            fields=[
                ("sha256", models.CharField(max_length=64, primary_key=True, serialize=False)),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("plain", "Holds no pickle"),
                            ("clean", "Imports only what is known"),
                            ("unsafe", "Imports what may run anything"),
                            ("unread", "Could not be read to its end"),
                        ],
                        max_length=10,
                    ),
                ),
                ("findings", models.JSONField(default=list)),
                ("reader", models.PositiveSmallIntegerField()),
                ("scanned_at", models.DateTimeField(default=core.clock.now)),
            ],
        ),
    ]
