"""Wheels and source archives made for a test, and backends that need nothing to be installed."""

import io
import zipfile
from collections.abc import Mapping

from tests.environments.making import plain_tar

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
# Builds a wheel of one module. What a test adds sees its `PATH` and `NAME`.
BACKEND = """
import os, sys, zipfile

NAME = "{stem}-py3-none-any.whl"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    global NAME
    PATH = os.path.join(directory, NAME)
    with zipfile.ZipFile(PATH, "w") as wheel:
        info = "{stem}.dist-info/"
        wheel.writestr("{module}.py", "ORIGIN = 'built'\\n")
        for file, text in {texts!r}.items():
            wheel.writestr(info + file, text)
{code}
    return NAME
"""


def metadata(name: str, version: str, requires: tuple[str, ...] = ()) -> bytes:
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    return ("\n".join(lines) + "\n").encode()


def wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
) -> tuple[str, bytes]:
    """A wheel's name and bytes."""
    info = f"{name}-{version}.dist-info"
    made = {
        f"{name}.py": b"ORIGIN = 'wheel'\n",
        f"{info}/METADATA": metadata(name, version, requires),
        f"{info}/WHEEL": WHEEL.format(tag=tag).encode(),
        f"{info}/RECORD": b"",
    } | dict(files or {})
    return f"{name}-{version}-{tag}.whl", zipped(made)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of those members."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return held.getvalue()


def sdist(
    name: str,
    version: str = "1.0",
    code: str = "",
    *,
    backend: str | None = None,
    requires: tuple[str, ...] = (),
    files: Mapping[str, bytes] | None = None,
) -> tuple[str, bytes]:
    """A source archive's name and bytes. `code` runs at the end of `build_wheel`."""
    stem = f"{name}-{version}"
    indented = "\n".join(f"    {line}" for line in code.strip().splitlines())
    texts = {
        "METADATA": metadata(name, version, requires).decode(),
        "WHEEL": WHEEL.format(tag="py3-none-any"),
        "RECORD": "",
    }
    text = backend or BACKEND.format(stem=stem, module=name, texts=texts, code=indented)
    made = {
        "PKG-INFO": metadata(name, version, requires),
        "pyproject.toml": PYPROJECT.encode(),
        "backend.py": text.encode(),
    } | dict(files or {})
    return f"{stem}.tar.gz", plain_tar(made, f"{stem}/")
