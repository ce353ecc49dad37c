"""Secrets that were packed by mistake: keys and tokens whose form is unmistakable.

A published archive cannot be taken back, so these are refused. Only forms that no other text has
are looked for, and what documentation shows in their place is known, so that an honest package is
not held up. It is help for the careless, not a wall: a secret of no known form is not found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True)
class Form:
    """One kind of secret. `prefixes` is what `pattern` starts with, looked for first."""

    kind: str
    prefixes: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _form(kind: str, prefixes: str, rest: str) -> Form:
    """A form of one or more prefixes (divided by spaces) and a body that ends with the word."""
    starts = prefixes.split()
    either = "|".join(map(re.escape, starts))
    pattern = rf"(?<![A-Za-z0-9])(?:{either})(?P<body>{rest})(?![A-Za-z0-9])"
    return Form(kind, tuple(start.encode() for start in starts), re.compile(pattern.encode()))


TOKENS = (
    _form("an AWS access key", "AKIA ASIA", r"(?=[A-Z]*[2-7])[A-Z2-7]{16}"),
    _form("a Google API key", "AIza", r"[A-Za-z0-9_-]{35}"),
    _form("a Google client secret", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    _form("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36}"),
    _form("a GitHub token", "github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _form("a GitLab token", "glpat-", r"[A-Za-z0-9_-]{20}"),
    _form("a Slack token", "xoxb- xoxp- xoxa- xoxr- xoxs-", r"[0-9]{10,13}-[A-Za-z0-9-]{10,90}"),
    _form(
        "a Slack webhook",
        "https://hooks.slack.com/services/",
        r"T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}",
    ),
    # "T3BlbkFJ" stands in the middle of each of them.
    _form("an OpenAI key", "sk-", r"[A-Za-z0-9_-]{20,110}T3BlbkFJ[A-Za-z0-9_-]{20,110}"),
    _form("an Anthropic key", "sk-ant-api03- sk-ant-admin01-", r"[A-Za-z0-9_-]{93}AA"),
    _form("a Hugging Face token", "hf_", r"[A-Za-z0-9]{34}"),
    _form("a Groq key", "gsk_", r"[A-Za-z0-9]{52}"),
    _form("a Replicate token", "r8_", r"[A-Za-z0-9]{37}"),
    _form("a PyPI token", "pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZw", r"[\w-]{50,800}"),
    _form("an npm token", "npm_", r"[A-Za-z0-9]{36}"),
    _form("a Docker Hub token", "dckr_pat_", r"[A-Za-z0-9_-]{27}"),
    _form("a DigitalOcean token", "dop_v1_ doo_v1_", r"[a-f0-9]{64}"),
    _form("a SendGrid key", "SG.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _form("a Stripe key", "sk_live_ rk_live_", r"[A-Za-z0-9]{24,99}"),
)

CANDIDATES = 100  # places in a file that are held against one form

KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
KEY_BYTES = 8192  # of a key's text that are looked at
# Line ends, also as they are written inside a string of JSON or Python.
KEY_BREAKS = re.compile(rb"\\[nr]|[\s\"',\\]")
# The least key there is, Ed25519's, has 64.
KEY_BODY = re.compile(rb"[A-Za-z0-9+/]{60,}")

# Keys made for tests are published with many an honest package, and open nothing.
FOR_SHOW = re.compile(
    r"(^|[/_.-])(tests?|testing|testdata|fixtures?|dummy\w*|mocks?|examples?|samples?|docs?)([/_.-]|$)"
)

# What stands where a real token would; "AKIAIOSFODNN7EXAMPLE" is AWS's own.
PLACEHOLDERS = (
    *(b"example", b"placeholder", b"redacted", b"dummy", b"fake", b"test", b"your", b"xxxx"),
    *(b"....", b"0000000", b"1234567", b"abcdefg"),
)
FEWEST_CHARACTERS = 8  # different ones, of a random body


def find(path: str, data: bytes) -> Iterator[tuple[int, str]]:
    """The line (from 1) and kind of the first secret of each kind in a file."""
    found: dict[str, int] = {}
    for form in TOKENS:
        if (at := _token(form, data)) is not None:
            found[form.kind] = min(at, found.get(form.kind, at))
    if not FOR_SHOW.search(path.lower()) and (at := _key(data)) is not None:
        found["a private key"] = at
    for kind, start in sorted(found.items(), key=lambda item: item[1]):
        yield data.count(b"\n", 0, start) + 1, kind


def _token(form: Form, data: bytes) -> int | None:
    """Where the first token of a form is."""
    for prefix in form.prefixes:
        for at in islice(_places(data, prefix), CANDIDATES):
            match = form.pattern.match(data, at)
            if match and not _is_placeholder(match["body"]):
                return at
    return None


def _places(data: bytes, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


def _key(data: bytes) -> int | None:
    """Where the first private key is, in the form that OpenSSL, OpenSSH and GnuPG write."""
    for at in _places(data, b"-----BEGIN "):
        start = KEY.match(data, at)
        if start is None:
            continue
        end = data.find(b"-----", start.end(), start.end() + KEY_BYTES)
        text = data[start.end() : end if end >= 0 else start.end() + KEY_BYTES]
        body = KEY_BODY.search(KEY_BREAKS.sub(b"", text))
        if body and not _is_placeholder(body[0]):
            return at
    return None


def _is_placeholder(body: bytes) -> bool:
    text = body.lower()
    return len(set(text)) < FEWEST_CHARACTERS or any(word in text for word in PLACEHOLDERS)
