"""Versions with a stored archive, and running what their bundles hold."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from environments.models import Version
from graders.pipeline import bundles
from graders.sandbox import EndReason, Limits, Mount, Sandbox, Spec
from graders.sandbox.interpreters import minor
from tests.environments.making import plain_tar
from tests.factories import make_version

PYPROJECT = b"""
[project]
name = "held"
version = "1.0.0"
"""


def stored_version(
    *dependencies: str,
    module: str = "import this_is_never_imported\n",
    files: Mapping[str, bytes] | None = None,
    **fields: Any,
) -> Version:
    """A version that needs those packages; its archive has a module, `held`, and those files."""
    members = {"pyproject.toml": PYPROJECT, "held.py": module.encode(), **(files or {})}
    content = plain_tar(members, "held-1.0.0/")
    version = make_version(
        filename="held-1.0.0.tar.gz",
        sha256=hashlib.sha256(content).hexdigest(),
        dependencies=list(dependencies),
        **fields,
    )
    if not default_storage.exists(version.storage_key):
        default_storage.save(version.storage_key, ContentFile(content))
    return version


def fingerprint(bundle: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of each file of a bundle, folders with no digest."""
    return {
        str(path.relative_to(bundle)): (
            path.stat().st_mode & 0o7777,
            "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in bundle.rglob("*")
    }


def run_inside(sandbox: Sandbox, bundle: Path, code: str) -> Any:
    """What code prints as JSON with the bundle's packages at hand."""
    argv = (
        "python3",
        "-I",
        "-B",
        "-c",
        f"import sys; sys.path.insert(0, '/env/site-packages')\n{code}",
    )
    spec = Spec("use", argv, (Mount(bundle, "/env"),), Limits(seconds=120, memory_mb=1024))
    with sandbox.start(spec) as running:
        said = b"".join(iter(running.receive, b""))
        ending = running.wait()
    assert (ending.reason, ending.exit_code) == (EndReason.EXITED, 0), ending.stderr
    return json.loads(said)


def build(version: Version, sandbox: Sandbox) -> Version:
    """Lock a version's dependencies and data and keep the data, as a build job does."""
    version.lock = bundles.lock(version, sandbox, job="test-lock", check=lambda: None)
    bundles.keep(version)
    version.python = minor(sandbox.python)
    return version
