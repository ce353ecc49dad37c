from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("environments", "0004_version_package")]

    operations = [
        migrations.AddField(
            model_name="version",
            name="data",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Files that a build fetches: url, sha256 and path.",
            ),
        ),
        migrations.AddField(
            model_name="version",
            name="prepare",
            field=models.CharField(
                blank=True, help_text="What a build calls to leave more data.", max_length=255
            ),
        ),
    ]
