from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import core.clock


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("approvals", "0002_awaited_reviewers"),
        ("registry", "0009_tags_in_one_place"),
    ]

    operations = [
        migrations.AlterField(
            model_name="transitionrequest",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Open"),
                    ("needs_changes", "Changes asked for"),
                    ("applied", "Applied"),
                    ("rejected", "Rejected"),
                    ("withdrawn", "Withdrawn"),
                    ("superseded", "Superseded"),
                    ("expired", "Expired"),
                ],
                default="open",
                max_length=15,
            ),
        ),
        migrations.CreateModel(
            name="Check",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=250)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("passed", "Passed"),
                            ("failed", "Failed"),
                            ("error", "Error"),
                        ],
                        max_length=10,
                    ),
                ),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("figure", models.CharField(blank=True, max_length=100)),
                ("link", models.CharField(blank=True, max_length=1000)),
                ("summary", models.TextField(blank=True)),
                ("reported_at", models.DateTimeField(default=core.clock.now)),
                ("is_current", models.BooleanField(default=True)),
                (
                    "reporter",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="checks",
                        to="registry.modelversion",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["version", "-id"], name="check_history_idx")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_current", True)),
                        fields=("version", "name", "reporter", "digest"),
                        name="one_current_report_per_check",
                    )
                ],
            },
        ),
    ]
