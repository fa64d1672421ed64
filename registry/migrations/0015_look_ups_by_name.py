from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0014_packages_beside_evidence")]

    operations = [
        migrations.AddIndex(
            model_name="registeredmodel",
            index=models.Index(fields=["name"], name="model_name_idx"),
        ),
    ]
