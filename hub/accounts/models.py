"""People and their API tokens."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken

from hub.accounts.names import validate_owner_name

# Hexadecimal digits of a token's digest that name it in addresses.
KEY_LENGTH = 16


class Scope(models.TextChoices):
    """What a token may be used for; it never grants what its user may not do."""

    READ = "read", "Read, private versions of yours included"
    UPLOAD = "upload", "Upload versions"
    EVALUATE = "evaluate", "Ask for evaluations"
    MODERATE = "moderate", "Moderate"


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person. The username is the first part of the addresses of what they own."""

    username = models.CharField(
        max_length=39,
        unique=True,
        validators=[validate_owner_name],
        error_messages={"unique": "This name is taken. Choose another."},
    )
    email = models.EmailField(blank=True)
    is_trusted = models.BooleanField(
        "trusted",
        default=False,
        help_text="Versions that evaluate cleanly are approved without waiting for a moderator.",
    )

    # False while they act through a token that lacks the scope.
    moderates_now = True

    class Meta:
        ordering = ["username"]
        permissions = [("moderate", "Can moderate versions")]

    def __str__(self) -> str:
        return self.username

    def get_absolute_url(self) -> str:
        return f"/{self.username}/"

    @property
    def is_moderator(self) -> bool:
        """Whether this person sees and decides on versions that are not public."""
        return self.is_active and self.moderates_now and self.has_perm("accounts.moderate")


class Quota(models.Model):
    """What one person may use, where it is not the usual (quotas.py). Empty means the usual."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="quota")
    uploads_per_hour = models.PositiveIntegerField(null=True, blank=True)
    storage_mb = models.PositiveIntegerField(
        "storage (MiB)", null=True, blank=True, help_text="Of all archives, each counted once."
    )
    running_evaluations = models.PositiveIntegerField(
        null=True, blank=True, help_text="At once; others wait for these. 0 holds all back."
    )

    def __str__(self) -> str:
        return f"quota of {self.user}"


def all_scopes() -> list[str]:
    """Every scope but moderation: what a new token gets unless told otherwise."""
    return [Scope.READ, Scope.UPLOAD, Scope.EVALUATE]


class ApiToken(AbstractAuthToken):
    """An API token; only its digest is stored."""

    name = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices), default=all_scopes)

    class Meta:
        ordering = ["-created"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"

    @property
    def key(self) -> str:
        """What it is called in addresses; says nothing about its text."""
        return self.digest[:KEY_LENGTH]

    @property
    def is_expired(self) -> bool:
        return self.expiry is not None and self.expiry < timezone.now()
