"""The parts of a page's address that narrow its table; what cannot be used is said and left out."""

from typing import Any

from django import forms

from graders.queries import TASK_SORTS


class Narrow(forms.Form):
    """A form whose valid parts count even if others are not."""

    def valid(self) -> dict[str, Any]:
        """What was given and can be used; the rest is in `errors`."""
        self.is_valid()
        return {key: value for key, value in self.cleaned_data.items() if value not in (None, "")}


class TasksForm(Narrow):
    """Which tasks, in which order."""

    p_min = forms.FloatField(required=False, min_value=0, max_value=1, label="pass rate from")
    p_max = forms.FloatField(required=False, min_value=0, max_value=1, label="to")
    sort = forms.ChoiceField(
        required=False, choices=[(key, label) for key, (label, _) in TASK_SORTS.items()]
    )


class RolloutsForm(Narrow):
    """Which rollouts."""

    task = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    passed = forms.TypedChoiceField(
        required=False,
        choices=[("", "all"), ("true", "passed"), ("false", "not passed")],
        coerce=lambda text: text == "true",
        empty_value=None,
    )
    min_reward = forms.FloatField(required=False, label="reward from")
