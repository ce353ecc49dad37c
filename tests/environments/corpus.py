"""Real packages, fetched by name from the package index and held against the digests kept here."""

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from pathlib import Path

import httpx
from django.conf import settings
from packaging.utils import parse_sdist_filename, parse_wheel_filename

UV = Path(sys.executable).with_name("uv")


def listed(path: Path) -> dict[str, str]:
    """The files of a list as `sha256sum` writes it: digests in hex by name."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {name: digest for digest, name in rows}


def fetch(name: str, sha256: str, folder: Path) -> Path:
    """The file in `folder`, from the index if it is not there yet. Nothing of it is run."""
    path = folder / name
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    transport = httpx.HTTPTransport(retries=3)
    client = httpx.Client(timeout=60, follow_redirects=True, transport=transport)
    with client, client.stream("GET", _addresses(_requirement(name))[name]) as answer:
        answer.raise_for_status()
        data = answer.read()
    assert hashlib.sha256(data).hexdigest() == sha256, f"{name} is not what it was"
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as scratch:
        scratch.write(data)
    return Path(scratch.name).replace(path)


def _requirement(name: str) -> str:
    if name.endswith(".whl"):
        project, version, *_ = parse_wheel_filename(name)
    else:
        project, version = parse_sdist_filename(name)
    return f"{project}=={version}"


@cache
def _addresses(requirement: str) -> dict[str, str]:
    """Where the files of a release are, by name, as uv finds them on the configured index."""
    command = [UV, "pip", "compile", "--quiet", "--no-deps", "--universal", "--python-version=3.11"]
    command += ["--format=pylock.toml", "--generate-hashes", "-"]
    if settings.PACKAGE_INDEX_URL:
        command += ["--index-url", settings.PACKAGE_INDEX_URL]
    done = subprocess.run(command, input=requirement.encode(), capture_output=True, check=True)
    [package] = tomllib.loads(done.stdout.decode())["packages"]
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    return {one["url"].rpartition("/")[2]: one["url"] for one in files}
