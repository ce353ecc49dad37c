"""Asks for every address as everybody, and reads what docs/permissions.md says about it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from hub.accounts.models import User
from hub.accounts.services import create_token
from tests.api.conftest import packed
from tests.security.addresses import Address, addresses
from tests.security.scene import Scene

DOCUMENT: Final = Path(settings.BASE_DIR) / "docs" / "permissions.md"
PEOPLE: Final = [
    *("anonymous", "other", "member", "owner", "moderator", "administrator", "banned"),
]
# A token's owner and its scopes, by the column of the second table.
TOKENS: Final = {
    "owner: read": ("owner", ["read"]),
    "owner: upload": ("owner", ["upload"]),
    "owner: evaluate": ("owner", ["evaluate"]),
    "owner: all three": ("owner", ["read", "upload", "evaluate"]),
    "moderator: read": ("moderator", ["read"]),
    "moderator: moderate": ("moderator", ["moderate"]),
    "moderator: all": ("moderator", ["read", "upload", "evaluate", "moderate"]),
}
TITLES: Final = {"people": "## People", "tokens": "## Tokens"}


@dataclass(frozen=True)
class Row:
    """An address, asked for an example that is public or one that is private."""

    address: Address
    private: bool

    @property
    def key(self) -> str:
        return f"`{self.address.pattern}`{' private' if self.private else ''}"

    def line(self, cells: list[str]) -> str:
        return f"| {' | '.join([self.key, self.address.write, *cells])} |"


def rows() -> list[Row]:
    """Every address once, and those of versions once more for a private one."""
    found = []
    for address in addresses():
        parts = ("<owner>/<name>", "<owner>/<package>", "evaluations/<pk>")
        of_version = any(part in address.pattern for part in parts)
        found += [Row(address, private) for private in ([False, True] if of_version else [False])]
    return found


def documented(table: str) -> dict[str, list[str]]:
    """The rows of a table, by their first cell; the rest of each is the method and its cells."""
    _, _, rest = DOCUMENT.read_text().partition(TITLES[table])
    section = rest.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


Ask = Callable[[], Client]


def people(scene: Scene, *, csrf: bool = False) -> dict[str, Ask]:
    """How each person asks: with a session, or without one."""

    def opened(name: str) -> Ask:
        key = ""
        if name != "anonymous":
            client = Client()
            client.force_login(scene.people[name])
            key = client.cookies["sessionid"].value

        def ask() -> Client:
            client = Client(enforce_csrf_checks=csrf, raise_request_exception=False)
            if key:
                client.cookies["sessionid"] = key
            return client

        return ask

    return {name: opened(name) for name in PEOPLE}


def tokens(scene: Scene) -> dict[str, Ask]:
    """How programs ask: with a token of each kind."""

    def opened(person: User, scopes: list[str]) -> Ask:
        _, text = create_token(user=person, name="test", actor=person, scopes=scopes)
        headers = {"Authorization": f"Token {text}"}
        return lambda: Client(raise_request_exception=False, headers=headers)

    return {column: opened(scene.people[name], scopes) for column, (name, scopes) in TOKENS.items()}


def cell(scene: Scene, row: Row, ask: Ask) -> str:
    """What reading and what writing come to, for one who asks; nothing of it stays."""
    return f"{outcome(scene, row, ask, 'GET')} / {outcome(scene, row, ask, row.address.write)}"


def outcome(scene: Scene, row: Row, ask: Ask, method: str) -> str:
    """The status of the answer, or `login` for a redirect to where one signs in."""
    cache.clear()
    with transaction.atomic():
        client, path = ask(), scene.path(row.address, private=row.private)
        extra = {} if method == "GET" else _body(row, method)
        answer = client.generic(method, path, **extra) if extra else client.get(path)
        if answer.streaming:
            b"".join(answer)  # to its end, which closes it
        transaction.set_rollback(True)
    is_login = re.match(r"/(accounts|admin)/login/", answer.headers.get("Location", ""))
    return "login" if is_login else str(answer.status_code)


# What a good write sends. Without it an address is sent an empty form.
BODIES: Final[dict[str, dict[str, Any]]] = {
    "account-tokens": {"name": "new", "scopes": ["read"], "days": "30"},
    "api-tokens": {"name": "new", "scopes": ["read"]},
}
DECISION: Final = {"decided": "1", "reason": "A reason."}


def _body(row: Row, method: str) -> dict[str, Any]:
    address = row.address
    if address.name == "api-versions":
        archive = packed("secret" if row.private else "coins", "2.0.0")
        return _encoded({"archive": SimpleUploadedFile("new.tar.gz", archive)})
    if address.is_api and method != "DELETE":
        body = json.dumps(BODIES.get(address.name, {})).encode()
        return {"data": body, "content_type": "application/json"}
    form = BODIES.get(address.name) or (DECISION if address.name.startswith("admin:") else {})
    return _encoded(form)


def _encoded(form: dict[str, Any]) -> dict[str, Any]:
    return {"data": encode_multipart(BOUNDARY, form), "content_type": MULTIPART_CONTENT}


def mistakes(scene: Scene, table: str, wanted: list[Row], columns: dict[str, Ask]) -> Iterator[str]:
    """What the document says wrongly, each with the line that would be right."""
    said = documented(table)
    for row in wanted:
        cells = [cell(scene, row, ask) for ask in columns.values()]
        found = said.pop(row.key, None)
        if found is None:
            yield f"Missing in docs/permissions.md, {TITLES[table]}; add:\n{row.line(cells)}"
        elif found != [row.address.write, *cells]:
            yield f"Other than documented ({' | '.join(found)}):\n{row.line(cells)}"
    for key in said:
        yield f"There is no such address any more; remove the row of {key}."
