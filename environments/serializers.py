"""How environments and versions look in the API."""

from typing import Any, TypedDict

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from environments.manifest import FORMATS
from environments.models import Headline, Version
from environments.permissions import can_manage
from environments.states import Review, Status
from hub.accounts.tokens import viewer


class Interval(TypedDict):
    """A measure with its interval."""

    value: float
    low: float
    high: float


class IntervalSerializer(serializers.Serializer):
    """A measure with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class HeadlineSerializer(serializers.ModelSerializer):
    """The measures that the catalogue sorts and filters by."""

    rollouts_per_task = serializers.IntegerField(source="rollouts")
    tokens_per_rollout = serializers.FloatField(source="tokens", allow_null=True)
    mean_reward = serializers.SerializerMethodField()
    pass_at_1 = serializers.SerializerMethodField()
    signal = serializers.SerializerMethodField()
    vs2_128 = serializers.SerializerMethodField()

    class Meta:
        model = Headline
        fields = [
            "model",
            "measured",
            "tasks",
            "rollouts_per_task",
            "group",
            "mean_reward",
            "pass_at_1",
            "signal",
            "vs2_128",
            "tokens_per_rollout",
        ]
        read_only_fields = fields

    @extend_schema_field(IntervalSerializer)
    def get_mean_reward(self, headline: Headline) -> Interval:
        return _interval(headline, "mean_reward")

    @extend_schema_field(IntervalSerializer)
    def get_pass_at_1(self, headline: Headline) -> Interval:
        return _interval(headline, "pass_at_1")

    @extend_schema_field(IntervalSerializer)
    def get_signal(self, headline: Headline) -> Interval:
        return _interval(headline, "signal")

    @extend_schema_field(IntervalSerializer(allow_null=True))
    def get_vs2_128(self, headline: Headline) -> Interval | None:
        return None if headline.vs2 is None else _interval(headline, "vs2")


def _interval(headline: Headline, name: str) -> Interval:
    value, low, high = (getattr(headline, f"{name}{end}") for end in ("", "_low", "_high"))
    return {"value": value, "low": low, "high": high}


class VersionSerializer(serializers.ModelSerializer):
    """One immutable upload."""

    owner = serializers.CharField(source="environment.owner.username")
    name = serializers.CharField(source="environment.name")
    version = serializers.CharField(source="number")
    status = serializers.ChoiceField(choices=[(s.value, s.value) for s in Status])
    review = serializers.ChoiceField(choices=[(r.value, r.value) for r in Review])
    format = serializers.ChoiceField(
        choices=[(name, name) for name in FORMATS],
        allow_blank=True,
        help_text="Empty until it is run, where its files do not tell.",
    )
    fault = serializers.SerializerMethodField(
        help_text="Why the last evaluation failed, for the owner and moderators."
    )
    review_reason = serializers.SerializerMethodField(
        help_text="Why it was refused, for the owner and moderators."
    )
    package = serializers.CharField(
        help_text="The project that the archive is of; it may hold several environments."
    )
    reward_range = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    archive_url = serializers.SerializerMethodField()
    headline = serializers.SerializerMethodField(help_text="Null until it is measured.")

    class Meta:
        model = Version
        fields = [
            *("owner", "name", "version", "package", "url", "archive_url"),
            *("sha256", "size", "kind", "filename", "created"),
            *("status", "fault", "review", "review_reason"),
            *("summary", "license", "requires_python", "dependencies"),
            *("tags", "domains", "strategies", "format", "entry"),
            *("pass_threshold", "reward_range", "max_turns", "min_memory_mb", "headline"),
        ]
        read_only_fields = fields

    def get_fault(self, version: Version) -> str | None:
        return self._for_managers(version, version.fault)

    def get_review_reason(self, version: Version) -> str | None:
        return self._for_managers(version, version.review_reason)

    @extend_schema_field(
        serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    )
    def get_reward_range(self, version: Version) -> list[float]:
        return [version.reward_low, version.reward_high]

    @extend_schema_field(serializers.URLField())
    def get_url(self, version: Version) -> str:
        return address("api-version", version, self.context["request"])

    @extend_schema_field(serializers.URLField())
    def get_archive_url(self, version: Version) -> str:
        return address("api-archive", version, self.context["request"])

    @extend_schema_field(HeadlineSerializer(allow_null=True))
    def get_headline(self, version: Version) -> dict[str, Any] | None:
        headline = getattr(version, "headline", None)
        return None if headline is None else HeadlineSerializer(headline).data

    def _for_managers(self, version: Version, text: str) -> str | None:
        if not text or not can_manage(viewer(self.context["request"]), version):
            return None
        return text


class VersionDetailSerializer(VersionSerializer):
    """A version with its texts."""

    class Meta(VersionSerializer.Meta):
        fields = [*VersionSerializer.Meta.fields, "args", "changelog", "readme"]
        read_only_fields = fields


class MadeSerializer(serializers.Serializer):
    """A version that an upload is of."""

    name = serializers.CharField()
    version = serializers.CharField()
    url = serializers.URLField()


class SubmissionSerializer(VersionDetailSerializer):
    """The version that was asked for, and all that the archive is of."""

    versions = serializers.SerializerMethodField(
        help_text="One for each environment that the archive declares, in its order."
    )

    class Meta(VersionDetailSerializer.Meta):
        fields = [*VersionDetailSerializer.Meta.fields, "versions"]
        read_only_fields = fields

    @extend_schema_field(MadeSerializer(many=True))
    def get_versions(self, _: Version) -> list[dict[str, str]]:
        return [
            {
                "name": one.environment.name,
                "version": one.number,
                "url": address("api-version", one, self.context["request"]),
            }
            for one in self.context["versions"]
        ]


class EnvironmentSerializer(serializers.ModelSerializer):
    """An environment: its newest approved version or, for who sees more, the newest one."""

    owner = serializers.CharField(source="environment.owner.username")
    name = serializers.CharField(source="environment.name")
    created = serializers.DateTimeField(source="environment.created")
    url = serializers.SerializerMethodField()
    latest = VersionSerializer(source="*")

    class Meta:
        model = Version
        fields = ["owner", "name", "created", "url", "latest"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, version: Version) -> str:
        kwargs = {"owner": version.environment.owner.username, "name": version.environment.name}
        return str(reverse("api-environment", kwargs=kwargs, request=self.context["request"]))


class EnvironmentDetailSerializer(EnvironmentSerializer):
    """An environment with the texts of its latest version."""

    latest = VersionDetailSerializer(source="*")


class UploadSerializer(serializers.Serializer):
    """A version to add."""

    archive = serializers.FileField(help_text="A zip, tar.gz or wheel of at most 100 MiB.")
    changelog = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=20_000
    )


def address(route: str, version: Version, request: Any) -> str:
    """The absolute address of something of a version."""
    kwargs = {
        "owner": version.environment.owner.username,
        "name": version.environment.name,
        "version": version.number,
    }
    return str(reverse(route, kwargs=kwargs, request=request))
