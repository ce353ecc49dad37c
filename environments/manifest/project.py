"""Project metadata in the shape of PEP 621, from pyproject.toml or translated from a wheel's."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from environments.archives import Archive
from environments.manifest.base import Table, document, text

KEYS = (
    *("name", "version", "description", "readme", "requires-python", "license", "license-files"),
    *("authors", "maintainers", "keywords", "classifiers", "urls", "scripts", "gui-scripts"),
    *("entry-points", "dependencies", "optional-dependencies", "dynamic"),
    *("import-names", "import-namespaces"),
    # No key of PEP 621, but every project that verifiers scaffolds has it.
    "tags",
)

# What is read here, and so must be written out.
STATIC = ("name", "version", "dependencies", "requires-python")

README_BYTES = 512 * 1024
README_TYPES = {".md": "text/markdown", ".rst": "text/x-rst", ".txt": "text/plain"}
LICENSE_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")


@dataclass(frozen=True)
class Project:
    name: str
    version: str
    summary: str
    readme: str
    readme_type: str
    license: str
    requires_python: str
    dependencies: tuple[str, ...]
    authors: tuple[str, ...]
    urls: dict[str, str]
    tags: tuple[str, ...]


def project(table: Table, archive: Archive) -> Project:
    """Read a `[project]` table; files it names are looked up in the archive."""
    table.known(KEYS)
    dynamic = table.each("dynamic", lambda value: text(value, 100), 50)
    for key in STATIC:
        if key in dynamic:
            message = f"Write `{key}` out: a manifest is read without running the build."
            table.problems.add(table.label("dynamic"), message)
    for key in ("name", "version"):
        if key not in table.values and key not in dynamic:
            table.problems.add(table.label(key), "It is missing; every version needs it.")
    readme, readme_type = table.field(
        "readme", lambda value: _readme(value, archive), ("", "text/plain")
    )
    return Project(
        name=table.field("name", _name, ""),
        version=table.field("version", _version, ""),
        summary=table.field("description", lambda value: text(value, 512), ""),
        readme=readme,
        readme_type=readme_type,
        license=table.field("license", lambda value: _license(value, archive), _classified(table)),
        requires_python=table.field("requires-python", _requires_python, ""),
        dependencies=table.each("dependencies", _dependency, 200),
        authors=table.each("authors", _author, 50),
        urls=table.field("urls", _urls, {}),
        tags=tuple(dict.fromkeys(table.each("tags", _tag, 20))),
    )


def _name(value: object) -> str:
    name = text(value, 100)
    try:
        return canonicalize_name(name, validate=True)
    except InvalidName as error:
        raise ValueError(
            f"{name!r} is no project name: letters, digits and single - _ . between them."
        ) from error


def _version(value: object) -> str:
    try:
        version = Version(text(value, 64))
    except InvalidVersion as error:
        raise ValueError(f"{error}. Write it as in PEP 440: 1.2.0, 1.2.0rc1.") from error
    if version.local:
        raise ValueError(f"A local part (+{version.local}) cannot be published; leave it out.")
    return str(version)


def _requires_python(value: object) -> str:
    try:
        return str(SpecifierSet(text(value, 200)))
    except InvalidSpecifier as error:
        raise ValueError(f"{error}. Write it as in '>=3.11,<3.14'.") from error


def _dependency(value: object) -> str:
    line = text(value, 500)
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{line!r} is no requirement ({reason}). Write it as in 'numpy>=2,<3'."
        ) from error
    if requirement.url:
        raise ValueError(
            f"{requirement.name} is taken from an address; name a published version instead."
        )
    return str(requirement)


def _file(path: object, archive: Archive, most: int) -> str:
    name = text(path, 200).removeprefix("./")
    if name not in archive.files:
        raise ValueError(f"There is no file {name!r} in the archive. Add it, or mend the path.")
    if archive.files[name] > most:
        raise ValueError(f"{name!r} is larger than {most // 1024} KiB. Shorten it.")
    try:
        return archive.read(name, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name!r} is not UTF-8. Save it as UTF-8.") from error


def _readme(value: object, archive: Archive) -> tuple[str, str]:
    """The text and its content type."""
    if isinstance(value, dict):
        if ("file" in value) == ("text" in value):
            raise ValueError("It must have exactly one of `file` and `text`.")
        stated = value.get("content-type", "text/plain" if "text" in value else None)
        kind = None if stated is None else text(stated, 100).partition(";")[0].strip().lower()
        if kind is not None and kind not in README_TYPES.values():
            raise ValueError(f"Its content-type must be one of {', '.join(README_TYPES.values())}.")
        if "text" in value:
            return document(value["text"], README_BYTES), kind or "text/plain"
        readme, by_name = _readme(value["file"], archive)
        return readme, kind or by_name
    path = PurePosixPath(text(value, 200))
    if path.suffix.lower() not in README_TYPES:
        raise ValueError(f"{path.name!r} must end in {', '.join(README_TYPES)}.")
    readme = document(_file(value, archive, README_BYTES), README_BYTES)
    return readme, README_TYPES[path.suffix.lower()]


def _license(value: object, archive: Archive) -> str:
    if not isinstance(value, dict):
        return _spdx(text(value, 200))
    if ("file" in value) == ("text" in value):
        raise ValueError("It must have exactly one of `file` and `text`.")
    if "file" in value:
        _file(value["file"], archive, README_BYTES)
        return f"See {text(value['file'], 200)}"
    lines = document(value["text"], README_BYTES).split("\n")
    first = text(next((line for line in lines if line.strip()), "")[:100], 100)
    try:
        return _spdx(first)
    except ValueError:
        return first


def _spdx(expression: str) -> str:
    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression as error:
        raise ValueError(
            f"{expression!r} is no SPDX expression. Write it as in 'MIT' or 'Apache-2.0', or "
            'as {text = "..."}.'
        ) from error


def _classified(table: Table) -> str:
    """The license by the classifiers, for projects that state it there alone."""
    classifiers = table.each("classifiers", lambda value: text(value, 200), 200)
    found = [match[1] for line in classifiers if (match := LICENSE_CLASSIFIER.fullmatch(line))]
    return found[0] if len(found) == 1 else ""


def _author(value: object) -> str:
    if not isinstance(value, dict) or not value or set(value) - {"name", "email"}:
        raise ValueError('It must be as in {name = "Ada", email = "ada@example.org"}.')
    name, email = (text(value.get(key, ""), 200) for key in ("name", "email"))
    return f"{name} <{email}>" if name and email else name or email


def _tag(value: object) -> str | None:
    """As a slug; None if nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", text(value, 100).lower())[:40].strip("-") or None


def _urls(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > 32:
        raise ValueError('It must be a table of at most 32, as in {Source = "https://..."}.')
    return {text(label, 100): _url(url) for label, url in value.items()}


def _url(value: object) -> str:
    url = text(value, 2000)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:
        raise ValueError(f"{url[:100]!r} is no http or https address.")
    return url
