from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0006_filters_of_events")]

    operations = [
        migrations.AddField(
            model_name="channel",
            name="active_since",
            field=models.DateTimeField(null=True),
        ),
    ]
