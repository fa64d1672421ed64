"""What the files of a version ask for, beside its evidence. The daily sweep over files fills it for those that are there."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0013_digests_of_versions")]
    operations = [
        migrations.AddField(
            model_name="evidence", name="packages", field=models.JSONField(editable=False, null=True)
        ),
    ]
