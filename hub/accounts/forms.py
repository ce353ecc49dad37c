"""What the pages of one's own account take in."""

from django import forms

from hub.accounts.models import Scope, User, all_scopes

LIVES = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "for ever")]


class TokenForm(forms.Form):
    """A token to make."""

    name = forms.CharField(
        max_length=64,
        label="What is it for?",
        help_text="A name by which you will know it again, such as “laptop”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        label="What may it do?",
        initial=all_scopes,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one thing that it may do."},
    )
    days = forms.TypedChoiceField(
        choices=LIVES,
        coerce=int,
        empty_value=None,
        required=False,
        initial="365",
        label="Works for",
    )

    def __init__(self, *args: object, user: User, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if not user.is_moderator:
            scopes = [choice for choice in Scope.choices if choice[0] != Scope.MODERATE]
            self.fields["scopes"].choices = scopes  # type: ignore[attr-defined]
