from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def name_packages(apps, schema_editor):
    """So far every archive was of one environment, which had its project's name."""
    environments = apps.get_model("environments", "Environment").objects
    name = environments.filter(pk=OuterRef("environment")).values("name")
    apps.get_model("environments", "Version").objects.update(package=Subquery(name))


class Migration(migrations.Migration):
    dependencies = [("environments", "0003_version_python")]

    operations = [
        migrations.AddField(
            model_name="version",
            name="package",
            field=models.CharField(default="", max_length=100),
            preserve_default=False,
        ),
        migrations.RunPython(name_packages, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="version",
            index=models.Index(fields=["package", "number"], name="version_package"),
        ),
    ]
