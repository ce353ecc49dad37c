"""What an owner may be called: the first part of an environment's address."""

import re

from django.core.exceptions import ValidationError

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?")

# The first parts of the site's own addresses, now and likely soon.
RESERVED = frozenset(
    """about accounts admin api assets blog contact contribute docs environments events explore faq
    favicon health healthz help hub legacy login logout me media metrics mixes models moderation
    new news organizations owners pricing privacy readyz robots root search security settings
    signin signup simple site staff static status support system terms tokens upload uploads
    user users www""".split()
)


def validate_owner_name(value: str) -> None:
    """Raise ValidationError unless `value` can be the first part of an address."""
    if not SLUG.fullmatch(value) or "--" in value:
        raise ValidationError(
            "Use 1 to 39 lowercase letters, digits and single hyphens, "
            "beginning and ending with a letter or digit.",
            code="invalid",
        )
    if value in RESERVED:
        raise ValidationError("This name is reserved. Choose another.", code="reserved")


username_validators = [validate_owner_name]
