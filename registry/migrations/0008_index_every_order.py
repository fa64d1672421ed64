"""Every order in which versions can be asked for has an index to begin with."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0007_tag_statistics'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='modelversion',
            index=models.Index(condition=models.Q(('deleted_at', None)), fields=['-creation_timestamp'], name='version_created_idx'),
        ),
        migrations.AddIndex(
            model_name='modelversion',
            index=models.Index(condition=models.Q(('deleted_at', None)), fields=['version'], name='version_number_idx'),
        ),
    ]
