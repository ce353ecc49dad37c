"""What a worker says about its host, in the administration and to `check --tag sandbox`."""

import io
import re
import socket

import pytest
from celery.signals import worker_ready
from django.core import checks
from django.core.checks.registry import registry
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.utils import timezone

from graders import hosts, sweeping, tasks
from graders.checks import check_sandbox
from graders.errors import PlatformFault
from graders.models import Host
from graders.sandbox import SandboxUnavailable, host
from graders.sandbox.bubblewrap import Bubblewrap
from hub.audit.models import Event


@pytest.fixture(autouse=True)
def _bubblewrap(settings):
    settings.SANDBOX_DRIVER = "bubblewrap"


@pytest.fixture
def piped(monkeypatch, tmp_path):
    """A host that hands core dumps to a program."""
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/core_pattern").write_text("|/usr/bin/collect %p")
    monkeypatch.setattr(host.shortfalls, "__kwdefaults__", {"proc": tmp_path, "etc": tmp_path})


def check(**options) -> str:
    out = io.StringIO()
    try:
        call_command("check", tags=["sandbox"], stdout=out, stderr=out, **options)
    finally:
        registry.registered_checks.discard(check_sandbox)
    return out.getvalue()


@pytest.mark.django_db
def test_reaping_writes_down_the_host(settings):
    sweeping.reap()
    found = Host.objects.get()
    assert (found.hostname, found.driver) == (socket.gethostname(), "bubblewrap")
    assert re.fullmatch(r"3\.\d+\.\d+", found.pythons[0])
    assert found.warnings == Bubblewrap(settings.PATHS.sandbox).warnings()
    assert 0 <= (timezone.now() - found.seen).total_seconds() < 60


@pytest.mark.django_db
def test_only_changes_are_recorded():
    found = {"hostname": "one", "driver": "docker", "pythons": ["3.11"], "warnings": []}
    first = hosts.record(**found)
    assert hosts.record(**found).pk == first.pk
    assert Event.objects.filter(action="host.changed").count() == 1
    hosts.record(**(found | {"warnings": ["swap is not limited"]}))
    event = Event.objects.filter(action="host.changed").order_by("-pk").first()
    assert event.data["warnings"] == ["swap is not limited"]
    assert event.target_name == "one"


@pytest.mark.django_db
def test_a_host_where_nothing_works_is_written_down_too(settings, monkeypatch):
    settings.SANDBOX_DRIVER = "docker"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(PlatformFault):
        sweeping.reap()
    found = Host.objects.get()
    assert found.driver == ""
    assert "no Docker daemon" in found.warnings[0]


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_starts_writes_down_its_host(settings):
    assert tasks.arrive in [receiver() for _, receiver in worker_ready.receivers]
    worker_ready.send(sender=None)
    assert Host.objects.get().driver == "bubblewrap"
    settings.SANDBOX_DRIVER = "podman"
    worker_ready.send(sender=None)  # is logged, and the worker goes on
    assert "'podman' is not one of" in Host.objects.get().warnings[0]


def test_the_check_says_what_is_used():
    assert "(sandbox.I001) Contributed code runs in bubblewrap, under Python 3." in check()


def test_the_check_warns_with_a_hint(piped):
    said = check()
    assert "(sandbox.W001) A crash inside hands its memory to a program of the host" in said
    assert "HINT: Set kernel.core_pattern to a plain file name" in said
    with pytest.raises(SystemCheckError):
        check(fail_level="WARNING")


def test_the_check_fails_where_nothing_works(monkeypatch):
    def broken(state_dir, python):
        raise SandboxUnavailable("bubblewrap's root could not be made")

    monkeypatch.setattr("graders.sandbox.offers.Bubblewrap", broken)
    with pytest.raises(SystemCheckError, match=r"sandbox\.E001.*root could not be made"):
        check()


def test_nothing_is_started_unless_asked_for():
    call_command("check", stdout=io.StringIO())
    assert check_sandbox not in registry.get_checks(include_deployment_checks=True)
    assert not checks.tag_exists("sandbox", include_deployment_checks=True)
