"""The site under the settings of production: checked, and refused while something is missing."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

KEY = secrets.token_urlsafe(50)
PRODUCTION = {
    "HTTPS": "1",
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": "hub.example.org",
    "DATABASE_URL": "postgresql://hub:hunter2hunter2@db.example.org:5432/hub",
    "BROKER_URL": "redis://broker.example.org:6379/0",
    "CACHE_URL": "redis://broker.example.org:6379/1",
    "EMAIL_HOST": "mail.example.org",
}
CHECK = ["check", "--deploy", "--fail-level", "WARNING"]


def manage(folder: Path, *command: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """`manage.py` as an operator would run it, with nothing of this environment but its path."""
    wanted = {**PRODUCTION, **changed, "PRACTICUM_DATA": str(folder), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR,
        env={name: value for name, value in wanted.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_production_passes_the_deployment_check(tmp_path: Path) -> None:
    done = manage(tmp_path, *CHECK)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_the_check_would_fail_without_tls(tmp_path: Path) -> None:
    done = manage(tmp_path, *CHECK, HTTPS=None)
    assert done.returncode == 1
    assert "security.W012" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in PRODUCTION if name != "HTTPS"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 60),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", " , "),
        ("DEBUG", "1"),
    ],
)
def test_what_is_missing_or_weak_is_named(tmp_path: Path, name: str, value: str | None) -> None:
    done = manage(tmp_path, "check", **{name: value})
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "HTTPS=1 means production, and production is not configured:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [name]


def test_everything_that_is_missing_is_one_error(tmp_path: Path) -> None:
    nothing = dict.fromkeys(PRODUCTION) | {"HTTPS": "1"}
    done = manage(tmp_path, "migrate", **nothing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    named = {line.split(":")[0].strip() for line in done.stderr.splitlines()[1:]}
    assert named == set(PRODUCTION) - {"HTTPS"}


def test_the_error_repeats_no_value(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", ALLOWED_HOSTS="*")
    assert "hunter2" not in done.stderr
    assert KEY not in done.stderr


def test_cookies_are_for_this_host_alone_and_for_tls_alone(tmp_path: Path) -> None:
    code = (
        "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, "
        "s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, "
        "s.CSRF_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE, s.CSRF_COOKIE_SAMESITE, "
        "s.SESSION_COOKIE_DOMAIN, s.PROXIES)"
    )
    done = manage(tmp_path, "shell", "--no-imports", "-c", code)
    assert done.stdout.split() == [
        *("__Host-sessionid", "__Host-csrftoken"),
        *("True", "True", "True", "True", "Lax", "Lax", "None", "1"),
    ]
