from django.db import migrations, models


def forget_old_locks(apps, schema_editor):
    """Locks named every file of a release; now they name one wheel. They are made anew."""
    apps.get_model("environments", "Version").objects.exclude(lock="").update(lock="")


class Migration(migrations.Migration):
    dependencies = [("environments", "0002_upload_attempts")]

    operations = [
        migrations.AddField(
            model_name="version",
            name="python",
            field=models.CharField(
                blank=True, help_text="The Python that it was locked for.", max_length=8
            ),
        ),
        migrations.RunPython(forget_old_locks, migrations.RunPython.noop),
    ]
