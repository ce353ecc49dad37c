"""How accounts and tokens look in the API."""

from rest_framework import serializers

from hub.accounts.models import ApiToken, Scope, User

MAX_DAYS = 3650


class MeSerializer(serializers.ModelSerializer):
    """The account that asks."""

    is_moderator = serializers.BooleanField()
    scopes = serializers.SerializerMethodField(
        help_text="Of the token in use; null in a browser session, which has them all."
    )

    class Meta:
        model = User
        fields = ["username", "email", "date_joined", "is_trusted", "is_moderator", "scopes"]
        read_only_fields = fields

    def get_scopes(self, user: User) -> list[str] | None:
        token = self.context["request"].auth
        return list(token.scopes) if isinstance(token, ApiToken) else None


class TokenSerializer(serializers.ModelSerializer):
    """A token, without its text."""

    key = serializers.CharField(help_text="What it is called in addresses.")
    prefix = serializers.CharField(source="token_key", help_text="How its text begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))

    class Meta:
        model = ApiToken
        fields = ["key", "name", "prefix", "scopes", "created", "expiry"]
        read_only_fields = fields


class NewTokenSerializer(TokenSerializer):
    """A token just made: the only time that its text is shown."""

    token = serializers.CharField(help_text="Keep it: it is shown only now.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokenRequestSerializer(serializers.Serializer):
    """What to ask for."""

    name = serializers.CharField(max_length=64, help_text="What it is for, for yourself.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        allow_empty=False,
        required=False,
        help_text="Without any: read, upload and evaluate, as far as the token in use has them.",
    )
    days = serializers.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        allow_null=True,
        default=365,
        help_text="How long it works; null for ever.",
    )
