"""What production needs to be told, checked once when the settings are read."""

from collections.abc import Mapping
from typing import Final

from django.core.exceptions import ImproperlyConfigured

KEY_LENGTH: Final = 50
KEY_VARIETY: Final = 10  # different characters; a random key of that length has many more
MAKE_A_KEY: Final = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
# Each of them has a default for one machine, which is not what production means.
NEEDED: Final = {
    "DATABASE_URL": "postgresql://user:password@host:port/name",
    "BROKER_URL": "redis://host:port/0, for Celery",
    "CACHE_URL": "redis://host:port/1, where rate limits count",
    "EMAIL_HOST": "the mail server; without one, links to set new passwords go to the log",
}


def require(environment: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured, with everything that is missing or weak, if there is any."""
    if found := faults(environment):
        lines = "\n".join(f"  {name}: {text}" for name, text in found.items())
        raise ImproperlyConfigured(
            f"HTTPS=1 means production, and production is not configured:\n{lines}"
        )


def faults(environment: Mapping[str, str]) -> dict[str, str]:
    """What to do about each variable that is missing or weak. Values are never repeated."""
    found = {
        name: f"is missing: {text}." for name, text in NEEDED.items() if not environment.get(name)
    }
    key, hosts = environment.get("SECRET_KEY", ""), environment.get("ALLOWED_HOSTS", "")
    if len(key) < KEY_LENGTH or len(set(key)) < KEY_VARIETY:
        found["SECRET_KEY"] = f"needs {KEY_LENGTH} random characters or more: {MAKE_A_KEY}"
    if not hosts.strip(" ,") or "*" in hosts:
        found["ALLOWED_HOSTS"] = "needs the site's names, with commas; a * would let in any."
    if environment.get("DEBUG") == "1":
        found["DEBUG"] = "shows settings and source to everybody: unset it."
    return found
