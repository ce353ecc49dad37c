"""The two evaluation profiles that every hub starts with. Operators may change them or add some."""

from django.db import migrations

PROFILES = [
    # Small enough for a model on two processor cores; its intervals are honestly wide.
    {
        "name": "quick",
        "tasks": 12,
        "rollouts": 4,
        "group": 4,
        "token_limit": 32,
        "turn_limit": 4,
        "prompts": 64,
        "shard_tasks": 6,
        "shard_seconds": 900,
        "is_default": True,
    },
    {
        "name": "standard",
        "tasks": 96,
        "rollouts": 8,
        "group": 8,
        "token_limit": 1024,
        "turn_limit": 16,
        "prompts": 128,
        "shard_tasks": 16,
        "shard_seconds": 3600,
        "is_default": False,
    },
]


def create(apps, schema_editor):
    Profile = apps.get_model("graders", "Profile")
    Profile.objects.bulk_create(Profile(**profile) for profile in PROFILES)


class Migration(migrations.Migration):
    dependencies = [("graders", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
