"""Who did what to what, and when. Rows are only ever added; the database refuses anything else."""

from django.conf import settings
from django.db import models


class Event(models.Model):
    """One act. It keeps names as they were: it stays readable after what it names is gone."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    # No constraint and no cascade: deleting a user must neither change nor remove history.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
    )
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=64, db_index=True)
    target_type = models.CharField(max_length=64)
    target_id = models.CharField(max_length=64)
    target_name = models.CharField(max_length=255)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["target_type", "target_id"], name="audit_target")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.target_name}"
