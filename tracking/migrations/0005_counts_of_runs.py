from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tracking", "0004_names_of_runs")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["experiment", "-start_time"],
                name="run_listed_idx",
                condition=models.Q(lifecycle_stage="active"),
            ),
        ),
    ]
