"""What `manage.py check --tag sandbox` asks: does a sandbox work here, and what can it not do?"""

from django.core import checks

from graders.errors import PlatformFault
from graders.pipeline import launching

TAG = "sandbox"


def check_sandbox(**_: object) -> list[checks.CheckMessage]:
    """Start the sandbox that this host's workers use, and ask it."""
    try:
        found = launching.look_again()
    except PlatformFault as fault:
        hint = "Do what it says for one of them, or set SANDBOX_DRIVER to the one you want."
        return [checks.Error(str(fault), hint=hint, id="sandbox.E001")]
    pythons = ", ".join(found.versions.values())
    used = f"Contributed code runs in {found.driver}, under Python {pythons}."
    return [
        checks.Info(used, id="sandbox.I001"),
        *(
            checks.Warning(_sentence(short.what), hint=_sentence(short.advice), id="sandbox.W001")
            for short in found.default.shortfalls()
        ),
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
