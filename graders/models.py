"""What measures, what is measured, and what came out."""

from django.conf import settings as site
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from pgvector.django import VectorField

from environments.models import Version, choices
from graders.states import ACTIVE_STAGES, OPEN_STATUSES, JobKind, JobStatus, Stage
from graders.tooltext import ToolCalls

# Of MiniLM-L6-v2; the model itself (graders.embed) is slow to import and not needed here.
EMBEDDING_DIMENSIONS = 384


class ReferenceModel(models.Model):
    """A policy that environments are run against: an OpenAI-compatible server and a sampler."""

    name = models.SlugField(max_length=64, unique=True)
    base_url = models.CharField(
        max_length=500,
        help_text="http(s)://host/v1, or unix:/path/to.sock. The server speaks chat completions.",
    )
    model = models.CharField(max_length=200, help_text="The name the server knows it by.")
    api_key = models.CharField(max_length=500, blank=True)
    temperature = models.FloatField(
        default=0.7, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)]
    )
    top_p = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    max_tokens = models.PositiveIntegerField(default=1024, help_text="Token limit of one reply.")
    tool_calls = models.CharField(
        max_length=16,
        choices=choices(ToolCalls),
        default=ToolCalls.NATIVE,
        help_text="How it is offered tools and calls them. native: through the server, which takes "
        "tools and gives calls. text: for a model or a server that knows none, the tools are told "
        "in a system message and calls are read out of the reply. Some servers drop tools without "
        "a word if the model's chat template has no place for them.",
    )
    concurrency = models.PositiveIntegerField(default=8, help_text="Requests at once from one job.")
    timeout_s = models.FloatField("timeout (s)", default=120.0)
    is_enabled = models.BooleanField("enabled", default=True)
    is_default = models.BooleanField(
        "default", default=False, help_text="New versions are evaluated against this one."
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_model"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(is_enabled=True), name="default_model_enabled"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Profile(models.Model):
    """How much an evaluation measures. Data, so that an operator can change or add one."""

    name = models.SlugField(max_length=64, unique=True)
    tasks = models.PositiveIntegerField(help_text="T: tasks that are rolled out.")
    rollouts = models.PositiveIntegerField(help_text="n: rollouts of each task.")
    group = models.PositiveIntegerField(help_text="G of signal@G; at most n.")
    token_limit = models.PositiveIntegerField(help_text="Tokens of one reply.")
    turn_limit = models.PositiveIntegerField(help_text="Turns of one rollout.")
    prompts = models.PositiveIntegerField(default=128, help_text="Prompts read for diversity.")
    shard_tasks = models.PositiveIntegerField(default=8, help_text="Tasks of one rollout job.")
    shard_seconds = models.PositiveIntegerField(default=900, help_text="Time limit of one job.")
    is_default = models.BooleanField("default", default=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_profile"
            ),
            models.CheckConstraint(
                condition=Q(group__gte=2) & Q(group__lte=models.F("rollouts")),
                name="profile_group_within_rollouts",
            ),
            models.CheckConstraint(
                condition=Q(prompts__gte=models.F("tasks")), name="profile_prompts_cover_tasks"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (T={self.tasks}, n={self.rollouts}, G={self.group})"


class Evaluation(models.Model):
    """One version measured against one reference model under one profile."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="evaluations")
    model = models.ForeignKey(ReferenceModel, on_delete=models.PROTECT, related_name="+")
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="+")
    stage = models.CharField(max_length=16, choices=choices(Stage), default=Stage.QUEUED)
    fault = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True, db_index=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    # What was used, as it was then: model name, sampler, token limit, turns, T, n, G.
    settings = models.JSONField(default=dict)
    sandbox = models.CharField(max_length=32, blank=True)
    format = models.CharField(max_length=32, blank=True)
    # How many tasks the environment says it has; null for an endless one.
    task_count = models.BigIntegerField(null=True, blank=True)
    rollouts_planned = models.PositiveIntegerField(default=0)
    # Difficulty and diversity (graders.metrics), as published.
    report = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["-created", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "model", "profile"],
                condition=Q(stage__in=[stage.value for stage in ACTIVE_STAGES]),
                name="one_active_evaluation",
            ),
            models.CheckConstraint(
                condition=Q(stage=Stage.FAILED) ^ Q(fault=""), name="evaluation_fault_if_failed"
            ),
            models.CheckConstraint(
                condition=~Q(stage=Stage.DONE) | Q(report__isnull=False, finished__isnull=False),
                name="evaluation_done_with_report",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.model}"

    def get_absolute_url(self) -> str:
        environment = self.version.environment
        return reverse(
            "evaluation",
            args=[environment.owner.username, environment.name, self.version.number, self.pk],
        )

    @property
    def is_active(self) -> bool:
        return self.stage in ACTIVE_STAGES


class Job(models.Model):
    """One step of an evaluation. This row is the truth; a message only wakes a worker.

    `token` fences: it grows with every claim, and only the holder of the newest may write. It is 0
    until the first one.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="jobs")
    # The environment's owner, by whom workers are shared out (scheduling.py).
    owner = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=choices(JobKind))
    shard = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=16, choices=choices(JobStatus), default=JobStatus.QUEUED)
    created = models.DateTimeField(auto_now_add=True)
    not_before = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    token = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    started = models.DateTimeField(null=True, blank=True, help_text="Of the latest attempt.")
    heartbeat = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    log = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "kind", "shard"], name="job_once"),
            models.CheckConstraint(
                condition=Q(status=JobStatus.RUNNING) ^ Q(lease_until__isnull=True),
                name="job_leased_while_running",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in OPEN_STATUSES])
                ^ Q(finished__isnull=False),
                name="job_finished_when_over",
            ),
        ]
        indexes = [
            models.Index(
                fields=["kind", "owner", "evaluation", "id"],
                condition=Q(status__in=[status.value for status in OPEN_STATUSES]),
                name="job_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.shard} of {self.evaluation}"


class Task(models.Model):
    """One problem of an environment, as it was seen in one evaluation."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="tasks")
    index = models.BigIntegerField(help_text="Its number in the environment.")
    position = models.PositiveIntegerField(help_text="Its place in this evaluation's order.")
    prompt = models.TextField()
    embedding = VectorField(dimensions=EMBEDDING_DIMENSIONS)
    has_near_duplicate = models.BooleanField(default=False)
    # Estimates over its rollouts; null until summarised, and for tasks read for diversity only.
    n = models.PositiveIntegerField(default=0)
    p = models.FloatField(null=True)
    mean_reward = models.FloatField(null=True)
    signal = models.FloatField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index"], name="task_once"),
            models.UniqueConstraint(fields=["evaluation", "position"], name="task_position"),
        ]

    def __str__(self) -> str:
        return f"task {self.index} of {self.evaluation}"


class Rollout(models.Model):
    """One attempt at a task. The transcript lies in object storage, one compressed frame each."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="rollouts")
    number = models.PositiveIntegerField()
    seed = models.BigIntegerField()
    # Null if the environment failed: such a rollout counts in no estimate.
    reward = models.FloatField(null=True)
    passed = models.BooleanField(null=True)
    turns = models.PositiveIntegerField()
    tokens_in = models.PositiveIntegerField(null=True)
    tokens_out = models.PositiveIntegerField(null=True)
    truncated = models.BooleanField(default=False)
    seconds = models.FloatField()
    metrics = models.JSONField(default=dict)
    per_agent = models.JSONField(default=dict, help_text="What each seat earned, by its name.")
    error_kind = models.CharField(max_length=16, blank=True)
    error = models.TextField(blank=True)
    transcript_key = models.CharField(max_length=200)
    transcript_offset = models.PositiveIntegerField()
    transcript_length = models.PositiveIntegerField()

    class Meta:
        ordering = ["task__position", "number"]
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="rollout_once"),
            models.CheckConstraint(
                condition=Q(error_kind="", reward__isnull=False, passed__isnull=False)
                | (~Q(error_kind="") & Q(reward__isnull=True, passed__isnull=True)),
                name="rollout_reward_or_error",
            ),
        ]

    def __str__(self) -> str:
        return f"rollout {self.number} of {self.task}"


class Host(models.Model):
    """A machine that runs sandboxes, as its workers last described it.

    `driver` is empty, and `warnings` says why, where no sandbox works.
    """

    hostname = models.CharField(max_length=255, unique=True)
    driver = models.CharField(max_length=32, blank=True)
    pythons = models.JSONField(default=list)  # such as ["3.11", "3.12"]
    warnings = models.JSONField(default=list)
    seen = models.DateTimeField()

    class Meta:
        ordering = ["hostname"]

    def __str__(self) -> str:
        return self.hostname
