"""The catalogue: environments, their immutable versions, and what browsing sorts them by."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from environments.states import Review, Status


def choices(enum: type[Any]) -> list[tuple[str, str]]:
    """Model choices of a string enum, labelled by its values."""
    return [(member.value, member.value) for member in enum]


def slugs(size: int) -> "ArrayField[Any, Any]":
    """A list of short slugs."""
    return ArrayField(models.CharField(max_length=size), default=list, blank=True)


class Environment(models.Model):
    """A named environment of one owner: `owner/name`."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="environments"
    )
    name = models.CharField(
        max_length=100, validators=[RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    )
    created = models.DateTimeField(auto_now_add=True)
    # The newest approved version: what the public sees. Empty until there is one.
    latest = models.ForeignKey(
        "Version", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    search = SearchVectorField(null=True, editable=False)

    class Meta:
        ordering = ["owner__username", "name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="environment_owner_name"),
        ]
        indexes = [GinIndex(fields=["search"], name="environment_search")]

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    def get_absolute_url(self) -> str:
        return reverse("environment", args=[self.owner.username, self.name])


class Version(models.Model):
    """One immutable upload. What its manifest says is kept as it was at the upload."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="versions")
    number = models.CharField(max_length=64)
    created = models.DateTimeField(auto_now_add=True, db_index=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    changelog = models.TextField(blank=True)

    # The project that the archive is of. One upload adds a version of each environment in it.
    package = models.CharField(max_length=100)

    # The bytes.
    filename = models.CharField(max_length=255)
    kind = models.CharField(max_length=8)
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.PositiveBigIntegerField()

    # The manifest.
    summary = models.CharField(max_length=512, blank=True)
    readme = models.TextField(blank=True)
    readme_type = models.CharField(max_length=32, default="text/plain")
    license = models.CharField(max_length=256, blank=True)
    requires_python = models.CharField(max_length=128, blank=True)
    dependencies = ArrayField(models.CharField(max_length=512), default=list, blank=True)
    entry = models.CharField(max_length=255)
    args = models.JSONField(default=dict, blank=True)
    import_paths = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    format = models.CharField(max_length=32, blank=True, db_index=True)
    pass_threshold = models.FloatField(default=1.0)
    reward_low = models.FloatField(default=0.0)
    reward_high = models.FloatField(default=1.0)
    max_turns = models.PositiveIntegerField(default=8)
    min_memory_mb = models.PositiveIntegerField(null=True, blank=True)
    data = models.JSONField(
        default=list, blank=True, help_text="Files that a build fetches: url, sha256 and path."
    )
    prepare = models.CharField(
        max_length=255, blank=True, help_text="What a build calls to leave more data."
    )
    tags = slugs(32)
    domains = slugs(32)
    strategies = slugs(32)

    # Its two lives (states.py).
    status = models.CharField(max_length=16, choices=choices(Status), default=Status.UPLOADED)
    fault = models.TextField(blank=True, help_text="Why the last evaluation failed, for its owner.")
    review = models.CharField(max_length=16, choices=choices(Review), default=Review.PENDING)
    review_reason = models.TextField(blank=True)
    # The dependencies and the data as they were locked, so that a rebuild gives the same bundle.
    lock = models.TextField(blank=True)
    python = models.CharField(
        max_length=8, blank=True, help_text="The Python that it was locked for."
    )

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "number"], name="version_number"),
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in Status]), name="version_status"
            ),
            models.CheckConstraint(
                condition=Q(review__in=[review.value for review in Review]), name="version_review"
            ),
            models.CheckConstraint(
                condition=Q(status=Status.FAILED) ^ Q(fault=""), name="version_fault_if_failed"
            ),
            models.CheckConstraint(
                condition=Q(review__in=[Review.PENDING, Review.APPROVED]) | ~Q(review_reason=""),
                name="version_refused_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(reward_low__lt=F("reward_high")), name="version_reward_range"
            ),
        ]
        indexes = [models.Index(fields=["package", "number"], name="version_package")]

    def __str__(self) -> str:
        return f"{self.environment} {self.number}"

    def get_absolute_url(self) -> str:
        environment = self.environment
        return reverse("version", args=[environment.owner.username, environment.name, self.number])

    def get_package_url(self) -> str:
        """Where all that this upload added is listed."""
        return reverse("package", args=[self.environment.owner.username, self.package, self.number])

    @property
    def is_public(self) -> bool:
        return self.review == Review.APPROVED

    @property
    def storage_key(self) -> str:
        """Where the bytes are: by their digest, so that a name never becomes a path."""
        return f"archives/{self.sha256[:2]}/{self.sha256}"


class Headline(models.Model):
    """The measures of a version's latest reference run that the catalogue sorts and filters by.

    The whole report is the graders'; this is what they publish here.
    """

    version = models.OneToOneField(Version, on_delete=models.CASCADE, related_name="headline")
    measured = models.DateTimeField()
    model = models.CharField(max_length=200)
    tasks = models.PositiveIntegerField()
    rollouts = models.PositiveIntegerField(help_text="Rollouts a task.")
    group = models.PositiveIntegerField(help_text="G of signal@G.")
    mean_reward = models.FloatField()
    mean_reward_low = models.FloatField()
    mean_reward_high = models.FloatField()
    pass_at_1 = models.FloatField()
    pass_at_1_low = models.FloatField()
    pass_at_1_high = models.FloatField()
    # Null if rollouts failed and no task has G rewards.
    signal = models.FloatField(null=True)
    signal_low = models.FloatField(null=True, db_index=True)
    signal_high = models.FloatField(null=True)
    vs2 = models.FloatField(null=True)
    vs2_low = models.FloatField(null=True)
    vs2_high = models.FloatField(null=True)
    tokens = models.FloatField(null=True, help_text="Completion tokens a rollout.")

    def __str__(self) -> str:
        return f"headline of {self.version}"


class UploadAttempt(models.Model):
    """An upload of somebody, whatever came of it; kept while it counts (quotas.py)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["user", "at"], name="upload_attempt_user")]

    def __str__(self) -> str:
        return f"upload of {self.user} at {self.at}"
