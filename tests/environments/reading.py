"""Manifests read from small archives."""

import pytest
from making import PROJECT, open_archive, plain_tar

from environments.manifest import BadManifest, Manifest, Problem, read


def source(toml: str | bytes, **files: bytes | None) -> Manifest:
    text = toml.encode() if isinstance(toml, str) else toml
    merged = PROJECT | {"pyproject.toml": text} | files
    kept = {name: data for name, data in merged.items() if data is not None}
    (found,) = read(open_archive(plain_tar(kept, "tiny-1.0/"), "tiny-1.0.tar.gz"))
    return found


def project(more: str = "", hub: str = 'entry = "tiny_env.core:make"', **files: bytes) -> Manifest:
    toml = f'[tool.practicum]\n{hub}\n[project]\nname = "tiny"\nversion = "1"\n{more}\n'
    return source(toml, **files)


def problems(caught: pytest.ExceptionInfo[BadManifest]) -> dict[str, str]:
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)
    return {problem.field: problem.message for problem in caught.value.problems}
