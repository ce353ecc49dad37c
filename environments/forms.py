"""What pages take in."""

from typing import Any

from django import forms

from environments.browsing import SORTS


class UploadForm(forms.Form):
    """An archive to add as a version."""

    archive = forms.FileField(
        label="Archive",
        error_messages={
            "required": "Choose an archive: a .zip, .tar.gz or .whl of your project.",
            "empty": "This file is empty. Choose the archive again.",
        },
    )
    changelog = forms.CharField(
        label="What changed (optional)",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class BrowseForm(forms.Form):
    """The parts of the browse page's address that can be wrong."""

    q = forms.CharField(required=False, max_length=200)
    p_min = forms.FloatField(required=False, min_value=0, max_value=1)
    p_max = forms.FloatField(required=False, min_value=0, max_value=1)
    signal_min = forms.FloatField(required=False, min_value=0, max_value=1)
    sort = forms.ChoiceField(required=False, choices=[(key, key) for key in SORTS])

    def valid(self) -> dict[str, Any]:
        """What was given and can be used; the rest is in `errors`."""
        self.is_valid()
        return {key: value for key, value in self.cleaned_data.items() if value not in (None, "")}
