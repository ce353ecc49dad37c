"""How measures, tasks, rollouts and evaluations look in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from environments.permissions import can_manage
from graders.models import Evaluation, Job, Profile, ReferenceModel, Rollout, Task
from graders.queries import waits_for
from graders.states import JobKind, JobStatus, Stage
from hub.accounts.tokens import viewer

DIFFICULTY = (
    *("mean_reward", "pass_at_1", "pass_at_k", "signal", "learnability"),
    *("solve_none", "solve_all"),
)


class EstimateSerializer(serializers.Serializer):
    """An estimate with its 95 % interval, and what it rests on."""

    value = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    method = serializers.CharField(help_text="How the interval was made.")
    tasks = serializers.IntegerField()
    rollouts = serializers.IntegerField()


class HistogramSerializer(serializers.Serializer):
    """How many tasks have which solve rate."""

    zero = serializers.IntegerField(help_text="Tasks never solved.")
    one = serializers.IntegerField(help_text="Tasks always solved.")
    bins = serializers.ListField(
        child=serializers.IntegerField(), help_text="The tasks in between, by tenths."
    )


class StatsSerializer(serializers.Serializer):
    """What one finished evaluation measured."""

    evaluation = serializers.IntegerField()
    measured = serializers.DateTimeField()
    digest = serializers.CharField(help_text="SHA-256 of the archive that was measured.")
    model = serializers.CharField()
    profile = serializers.CharField()
    sandbox = serializers.CharField()
    settings = serializers.DictField(help_text="All that shaped the numbers, as it was then.")
    tasks = serializers.IntegerField(help_text="T: tasks rolled out.")
    rollouts = serializers.IntegerField(help_text="Rollouts in all.")
    rollouts_per_task = serializers.IntegerField()
    group = serializers.IntegerField(help_text="G of signal@G.")
    k = serializers.IntegerField(help_text="k of pass@k.")
    seconds = serializers.FloatField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True, help_text="Read and written by the model.")
    mean_reward = EstimateSerializer(allow_null=True)
    pass_at_1 = EstimateSerializer(allow_null=True)
    pass_at_k = EstimateSerializer(allow_null=True)
    signal = EstimateSerializer(allow_null=True)
    learnability = EstimateSerializer(allow_null=True)
    solve_none = EstimateSerializer(allow_null=True)
    solve_all = EstimateSerializer(allow_null=True)
    saturated = serializers.BooleanField(allow_null=True)
    histogram = HistogramSerializer(allow_null=True)
    vs2_128 = EstimateSerializer(allow_null=True)
    near_duplicate_rate = serializers.FloatField(allow_null=True)
    prompts = serializers.IntegerField(allow_null=True, help_text="Prompts read for diversity.")
    missing = serializers.DictField(
        child=serializers.CharField(), help_text="Why an estimate is null, for each that is."
    )
    cost = serializers.DictField()
    errors = serializers.DictField(help_text="Rollouts in which the environment failed.")


def stats(evaluation: Evaluation, rollouts: int) -> dict[str, Any]:
    """The flat form of a finished evaluation's report. `rollouts` is how many there are in all."""
    report = evaluation.report or {}
    difficulty, diversity = report.get("difficulty", {}), report.get("diversity", {})
    cost = report.get("cost", {})
    return {
        "evaluation": evaluation.pk,
        "measured": evaluation.finished,
        "digest": evaluation.version.sha256,
        "model": evaluation.model.name,
        "profile": evaluation.profile.name,
        "sandbox": evaluation.sandbox,
        "settings": evaluation.settings,
        "tasks": difficulty.get("tasks"),
        "rollouts": rollouts,
        "rollouts_per_task": difficulty.get("rollouts_per_task"),
        "group": difficulty.get("group"),
        "k": difficulty.get("k"),
        "seconds": cost.get("seconds"),
        "tokens": _sum(cost.get("tokens_in"), cost.get("tokens_out")),
        **{name: difficulty.get(name) for name in DIFFICULTY},
        "saturated": difficulty.get("saturated"),
        "histogram": difficulty.get("histogram"),
        "vs2_128": diversity.get("vs2_128"),
        "near_duplicate_rate": diversity.get("near_duplicate_rate"),
        "prompts": diversity.get("prompts"),
        "missing": _missing(difficulty, diversity),
        "cost": cost,
        "errors": report.get("errors", {}),
    }


def _missing(difficulty: dict[str, Any], diversity: dict[str, Any]) -> dict[str, str]:
    reasons: dict[str, str] = dict(difficulty.get("missing", {}))
    if reason := diversity.get("reason"):
        reasons["vs2_128"] = reason
    return reasons


def _sum(*numbers: int | None) -> int | None:
    """Null unless all are known: a part would pass for the whole."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


class TaskSerializer(serializers.ModelSerializer):
    """One problem. Its estimates are null if it was read for diversity only."""

    preview = serializers.CharField(help_text="How the prompt begins.")

    class Meta:
        model = Task
        fields = [
            *("index", "position", "preview", "n", "p", "mean_reward", "signal"),
            "has_near_duplicate",
        ]
        read_only_fields = fields


@extend_schema_field(serializers.DictField(child=serializers.FloatField()))
class NumbersField(serializers.JSONField):
    """Numbers by name."""


class RolloutSerializer(serializers.ModelSerializer):
    """One attempt at a task, without what was said."""

    task = serializers.IntegerField(source="task.index", help_text="The task's index.")
    url = serializers.SerializerMethodField(help_text="With the transcript.")
    per_agent = NumbersField(
        help_text="What each seat earned, by its name, on the environment's own scale. Empty "
        "where there is one seat."
    )

    class Meta:
        model = Rollout
        fields = [
            *("task", "number", "url", "seed", "reward", "passed", "turns"),
            *("tokens_in", "tokens_out", "truncated", "seconds", "metrics", "per_agent"),
            *("error_kind", "error"),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, rollout: Rollout) -> str:
        kwargs = {**self.context["route"], "task": rollout.task.index, "number": rollout.number}
        query = self.context["query"]
        url = reverse("api-rollout", kwargs=kwargs, request=self.context["request"])
        return f"{url}?{query}" if query else str(url)


class CalledSerializer(serializers.Serializer):
    """The function of a tool call."""

    name = serializers.CharField()
    arguments = serializers.CharField(
        allow_blank=True, help_text="JSON text; whatever the policy wrote, if that was none."
    )


class ToolCallSerializer(serializers.Serializer):
    """A tool call of the policy."""

    id = serializers.CharField()
    type = serializers.CharField(help_text="`function`.")
    function = CalledSerializer()


class MessageSerializer(serializers.Serializer):
    """A chat message, and what the worker noted with it. Keys that do not apply are not there."""

    role = serializers.CharField(help_text="`system`, `user`, `assistant` (the policy) or `tool`.")
    content = serializers.CharField(allow_blank=True)
    tool_calls = ToolCallSerializer(many=True, required=False)
    tool_call_id = serializers.CharField(required=False, help_text="The call a tool answers.")
    name = serializers.CharField(required=False, help_text="The tool that answers.")
    agent = serializers.CharField(
        required=False, help_text="The seat whose conversation it is in, where several play."
    )
    replaces_from = serializers.IntegerField(
        required=False,
        help_text="It follows that many messages of its agent's conversation, whose others the "
        "environment dropped.",
    )
    tools = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        help_text="With the policy's: the tools it was offered, if not those of the reply before.",
    )
    finish_reason = serializers.CharField(
        required=False, allow_null=True, help_text="With the policy's: why it ended."
    )
    usage = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        allow_null=True,
        help_text="With the policy's: `prompt_tokens` and `completion_tokens`, if counted.",
    )


class TranscriptSerializer(RolloutSerializer):
    """One attempt at a task, with what was said."""

    messages = MessageSerializer(many=True)

    class Meta(RolloutSerializer.Meta):
        fields = [*RolloutSerializer.Meta.fields, "messages"]
        read_only_fields = fields


class ProgressSerializer(serializers.Serializer):
    """Rollouts done, of those planned."""

    done = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0 until the tasks are known.")


class JobSerializer(serializers.ModelSerializer):
    """One step of an evaluation."""

    kind = serializers.CharField(help_text=", ".join(JobKind))
    status = serializers.CharField(help_text=", ".join(JobStatus))

    class Meta:
        model = Job
        fields = [
            *("kind", "shard", "status", "attempt", "worker"),
            *("started", "heartbeat", "finished", "log"),
        ]
        read_only_fields = fields


class EvaluationSerializer(serializers.ModelSerializer):
    """One version measured against one model."""

    owner = serializers.CharField(source="version.environment.owner.username")
    name = serializers.CharField(source="version.environment.name")
    version = serializers.CharField(source="version.number")
    model = serializers.CharField(source="model.name")
    profile = serializers.CharField(source="profile.name")
    stage = serializers.ChoiceField(choices=[(s.value, s.value) for s in Stage])
    url = serializers.HyperlinkedIdentityField(view_name="api-evaluation")
    progress = serializers.SerializerMethodField()
    waiting = serializers.SerializerMethodField(help_text="What it waits for, if it waits.")
    settings = serializers.DictField()
    fault = serializers.SerializerMethodField(help_text="For the owner and moderators.")
    jobs = serializers.SerializerMethodField(help_text="For the owner and moderators.")

    class Meta:
        model = Evaluation
        fields = [
            *("id", "url", "owner", "name", "version", "model", "profile", "stage"),
            *("progress", "waiting", "fault", "created", "started", "finished"),
            *("sandbox", "format", "settings", "jobs"),
        ]
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, evaluation: Evaluation) -> dict[str, int]:
        done = Rollout.objects.filter(task__evaluation=evaluation).count()
        return {"done": done, "total": evaluation.rollouts_planned}

    def get_waiting(self, evaluation: Evaluation) -> str | None:
        return waits_for(evaluation) or None

    def get_fault(self, evaluation: Evaluation) -> str | None:
        return (evaluation.fault or None) if self._manages(evaluation) else None

    @extend_schema_field(JobSerializer(many=True, allow_null=True))
    def get_jobs(self, evaluation: Evaluation) -> list[dict[str, Any]] | None:
        if not self._manages(evaluation):
            return None
        return JobSerializer(evaluation.jobs.all(), many=True).data

    def _manages(self, evaluation: Evaluation) -> bool:
        return can_manage(viewer(self.context["request"]), evaluation.version)


class CancelSerializer(serializers.Serializer):
    """Why an evaluation is cancelled."""

    reason = serializers.CharField(
        max_length=2000, required=False, default="", help_text="For the owner and the audit log."
    )


class EvaluationRequestSerializer(serializers.Serializer):
    """What to measure with."""

    model = serializers.SlugRelatedField(
        slug_field="name",
        queryset=ReferenceModel.objects.filter(is_enabled=True),
        required=False,
        help_text="A reference model's name; the hub's default without any.",
    )
    profile = serializers.SlugRelatedField(
        slug_field="name",
        queryset=Profile.objects.all(),
        required=False,
        help_text="How much to measure; the hub's default without any.",
    )


class ReferenceModelSerializer(serializers.ModelSerializer):
    """A reference model and its sampler; neither where it is nor its key."""

    class Meta:
        model = ReferenceModel
        fields = [
            *("name", "model", "temperature", "top_p", "max_tokens", "tool_calls", "is_default"),
        ]
        read_only_fields = fields
