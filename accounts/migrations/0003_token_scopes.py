from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_idempotency_records"),
    ]

    operations = [
        migrations.AddField(
            model_name="token",
            name="pattern",
            field=models.CharField(default="*", max_length=256),
        ),
    ]
