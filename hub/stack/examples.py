"""Submits the examples as everybody submits an environment: packed, through the REST API."""

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from environments.packing import pack
from hub.stack.errors import StackError
from hub.stack.paths import REPOSITORY, Paths

FOLDER = REPOSITORY / "examples"
OWNER = "practicum"
UPLOAD_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Example:
    """A version that was submitted, as the REST API addresses it."""

    owner: str
    name: str
    version: str

    @property
    def url(self) -> str:
        return f"/api/v1/environments/{self.owner}/{self.name}/versions/{self.version}/"

    def __str__(self) -> str:
        return f"{self.owner}/{self.name} {self.version}"


def client(port: int, token: str) -> httpx.Client:
    """Speaks to the site on loopback with a user's token."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Token {token}"},
        timeout=UPLOAD_TIMEOUT,
        trust_env=False,  # a proxy has no place between two ends of loopback
    )


def submitted(paths: Paths) -> list[Example] | None:
    """The examples of this data folder, or None if not all were submitted yet."""
    try:
        rows = json.loads(_record(paths).read_text())
    except FileNotFoundError:
        return None
    return [Example(**row) for row in rows]


def submit(site: httpx.Client, folder: Path = FOLDER) -> Iterator[Example]:
    """Submits every example in turn; one that the hub has already is left as it is.

    Raises:
        StackError: the hub refuses one.
    """
    for project in sorted(file.parent for file in folder.glob("*/pyproject.toml")):
        yield from _submit_one(site, project)


def remember(paths: Paths, examples: Sequence[Example]) -> None:
    """Records that all were submitted, so that later starts do not submit them again."""
    _record(paths).write_text(json.dumps([asdict(example) for example in examples], indent=1))


def _record(paths: Paths) -> Path:
    return paths.data / ".examples-submitted"


def _submit_one(site: httpx.Client, project: Path) -> list[Example]:
    """The versions of one project: one of each environment that it declares."""
    name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]
    url = f"/api/v1/environments/{OWNER}/{name}/versions/"
    files = {"archive": (f"{name}.tar.gz", pack(project))}
    try:
        answer = site.post(url, files=files)
    except httpx.HTTPError as error:
        raise StackError(f"Example {name} was not submitted: {error}.") from error
    if not answer.is_success:
        raise StackError(f"Example {name} was refused: {_reason(answer)}")
    body: dict[str, Any] = answer.json()
    return [Example(OWNER, str(one["name"]), str(one["version"])) for one in body["versions"]]


def _reason(answer: httpx.Response) -> str:
    """The problem details of an error answer (RFC 9457) on one line."""
    try:
        body = answer.json()
    except ValueError:
        return f"status {answer.status_code}"
    messages = [str(error.get("message", "")) for error in body.get("errors", [])]
    return ": ".join([str(body.get("title", answer.status_code)), *messages])
