"""Measurement in the administration: what measures can be changed, what came out cannot."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join

from graders import operations, services
from graders.models import Evaluation, Host, Job, Profile, ReferenceModel
from hub.accounts.models import User
from hub.audit.acts import Look, page_act
from hub.audit.admin import AuditedAdmin, ReadOnlyAdmin, decide


class ReferenceModelForm(forms.ModelForm):
    """Takes a key in and never gives it out."""

    api_key = forms.CharField(
        max_length=500,
        required=False,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "class": "vTextField"}),
        help_text="Never shown. Leave it empty to keep the one that is set.",
    )
    forget_key = forms.BooleanField(required=False, label="Forget the API key that is set")

    class Meta:
        model = ReferenceModel
        fields = [
            *("name", "base_url", "model", "api_key", "temperature", "top_p"),
            *("max_tokens", "tool_calls", "concurrency", "timeout_s", "is_enabled"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The instance takes the form's values before they are all judged.
        self._key = self.instance.api_key
        self.initial.pop("api_key", None)

    def clean_base_url(self) -> str:
        url = str(self.cleaned_data["base_url"])
        if "@" in url or "?" in url:
            # It is shown, audited and quoted in errors.
            raise forms.ValidationError("Give no name, password or key here, but an API key below.")
        return url

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        typed = cleaned.get("api_key")
        cleaned["api_key"] = "" if cleaned.get("forget_key") else typed or self._key
        if self.instance.is_default and not cleaned.get("is_enabled"):
            self.add_error("is_enabled", "This is the default. Make another one the default first.")
        return cleaned


class ProfileForm(forms.ModelForm):
    """Says what the constraints of a profile mean."""

    class Meta:
        model = Profile
        exclude = ["is_default"]  # noqa: DJ006 - an action of its own changes it

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        group, rollouts = cleaned.get("group"), cleaned.get("rollouts")
        if group is not None and rollouts is not None and not 2 <= group <= rollouts:
            self.add_error("group", f"Choose from 2 up to the rollouts of a task, {rollouts}.")
        prompts, tasks = cleaned.get("prompts"), cleaned.get("tasks")
        if prompts is not None and tasks is not None and prompts < tasks:
            self.add_error("prompts", f"Read at least as many as there are tasks, {tasks}.")
        return cleaned


class MeasureAdmin(AuditedAdmin):
    """What there is one default of."""

    actions = ["make_default"]

    @admin.action(description="Make it the default", permissions=["change"])
    def make_default(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if queryset.count() != 1:
            self.message_user(request, "Choose exactly one.", level="error")
            return None

        def act(target: ReferenceModel | Profile, reason: str) -> None:
            operations.make_default(target=target, actor=cast(User, request.user))

        title = "Make it the default"
        return decide(self, request, queryset, title=title, act=act, back=request.get_full_path())


@admin.register(ReferenceModel)
class ReferenceModelAdmin(MeasureAdmin):
    form = ReferenceModelForm
    list_display = [
        "name",
        "model",
        "has_key",
        "temperature",
        "tool_calls",
        "is_enabled",
        "is_default",
    ]
    readonly_fields = ["is_default"]
    fields = [*ReferenceModelForm.Meta.fields[:4], "forget_key"]
    fields += [*ReferenceModelForm.Meta.fields[4:], "is_default"]
    secret_fields = ("api_key",)

    @admin.display(description="API key", boolean=True)
    def has_key(self, model: ReferenceModel) -> bool:
        return bool(model.api_key)


@admin.register(Profile)
class ProfileAdmin(MeasureAdmin):
    form = ProfileForm
    list_display = ["name", "tasks", "rollouts", "group", "token_limit", "turn_limit", "is_default"]
    readonly_fields = ["is_default"]


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    """Runs, with what came out. Moderators can stop one and ask for another."""

    list_display = ["version", "model", "profile_name", "stage", "created", "finished"]
    list_filter = ["stage", "model"]
    list_select_related = ["version__environment__owner", "model", "profile"]
    search_fields = ["version__environment__name", "version__environment__owner__username"]
    date_hierarchy = "created"
    acts = ["cancel", "retry"]

    @admin.display(description="profile", ordering="profile__name")
    def profile_name(self, evaluation: Evaluation) -> str:
        return evaluation.profile.name

    @page_act("Cancel", permission="moderate", look=Look.DANGER)
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def act(evaluation: Evaluation, reason: str) -> None:
            actor = cast(User, request.user)
            operations.cancel(evaluation=evaluation, actor=actor, reason=reason)

        return self._decide(request, object_id, "Cancel", act, with_reason=True)

    @page_act("Evaluate again", permission="moderate")
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def act(evaluation: Evaluation, reason: str) -> None:
            services.start(
                version=evaluation.version,
                actor=cast(User, request.user),
                model=evaluation.model,
                profile=evaluation.profile,
            )

        return self._decide(request, object_id, "Evaluate again", act)

    def _decide(
        self, request: HttpRequest, object_id: str, title: str, act: Any, with_reason: bool = False
    ) -> HttpResponse:
        evaluation = self.get_object(request, object_id)
        if evaluation is None:
            raise Http404
        back = reverse("admin:graders_evaluation_change", args=[object_id])
        return decide(
            self, request, [evaluation], title=title, act=act, back=back, with_reason=with_reason
        )


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Steps, with their logs. Moderators can put dead ones back."""

    list_display = [
        *("id", "kind", "shard", "status", "attempt", "worker", "heartbeat", "finished"),
        *("owner", "subject"),
    ]
    list_filter = ["status", "kind"]
    list_select_related = ["owner", "evaluation__version__environment__owner", "evaluation__model"]
    search_fields = ["evaluation__version__environment__name", "owner__username", "worker"]
    actions = ["requeue"]

    @admin.display(description="evaluation")
    def subject(self, job: Job) -> str:
        return str(job.evaluation)

    @admin.action(description="Try dead jobs again", permissions=["moderate"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse:
        def act(job: Job, reason: str) -> None:
            operations.requeue(job=job, actor=cast(User, request.user), reason=reason)

        title, back = "Try again", request.get_full_path()
        return decide(self, request, queryset, title=title, act=act, back=back, with_reason=True)


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    """Machines that run contributed code, and what each cannot enforce."""

    moderators_see = False
    list_display = ["hostname", "driver_used", "pythons_offered", "is_sound", "seen"]
    list_filter = ["driver"]
    search_fields = ["hostname"]
    readonly_fields = ["hostname", "driver_used", "pythons_offered", "all_warnings", "seen"]

    @admin.display(description="driver", ordering="driver", empty_value="none works")
    def driver_used(self, host: Host) -> str | None:
        return host.driver or None

    @admin.display(description="Python", empty_value="none")
    def pythons_offered(self, host: Host) -> str | None:
        return ", ".join(host.pythons) or None

    @admin.display(description="enforces everything", boolean=True)
    def is_sound(self, host: Host) -> bool:
        return not host.warnings

    @admin.display(description="warnings", empty_value="none")
    def all_warnings(self, host: Host) -> str | None:
        lines = ((warning,) for warning in host.warnings)
        return format_html_join("", "<p>{}</p>", lines) or None
