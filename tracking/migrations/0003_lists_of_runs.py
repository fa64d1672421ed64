"""What the lists of runs are found by. The index of people's runs takes the place of the one of their key alone."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from tracking.models import ParentRunId


class Migration(migrations.Migration):

    dependencies = [
        ('tracking', '0002_default_experiment'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='run',
            name='user',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['-start_time', 'run_id'], name='run_newest_of_all_idx'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['status', '-start_time', 'run_id'], name='run_status_idx'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['user', '-start_time', 'run_id'], name='run_user_idx'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(ParentRunId(), name='run_parent_idx'),
        ),
    ]
