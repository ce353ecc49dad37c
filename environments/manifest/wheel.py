"""A wheel's manifest: METADATA for the project, practicum.toml or an entry point for the hub."""

import configparser
import re
from email.utils import getaddresses

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement

from environments.archives import Archive
from environments.manifest.base import Problems

METADATA_BYTES = 1024 * 1024
ENTRY_POINTS_BYTES = 64 * 1024
REQUIREMENTS = 1000
HEADER_END = re.compile(rb"\r?\n\r?\n")
MIME = re.compile(rb"(?:^|[\r\n])content-type:", re.IGNORECASE)
GROUP = "practicum.environments"
WAYS = (
    'entry = "package.module:make" in a file practicum.toml inside the package, or one entry point '
    f"in the group {GROUP}."
)
TABLE = re.compile(r"[^/]+(?<!\.dist-info)/practicum\.toml")

LABELS = {
    "name": "Name",
    "version": "Version",
    "description": "Summary",
    "readme": "Description",
    "license": "License",
    "requires-python": "Requires-Python",
    "dependencies": "Requires-Dist",
    "authors": "Author",
    "urls": "Project-URL",
    "classifiers": "Classifier",
}


def label(key: str) -> str:
    """The field of METADATA behind a key of `[project]`."""
    return f"METADATA {LABELS.get(key, key)}"


def metadata(archive: Archive, problems: Problems) -> dict[str, object]:
    """METADATA in the shape of a `[project]` table; optional dependencies left out."""
    path = next(path for path in archive.files if re.fullmatch(r"[^/]+\.dist-info/METADATA", path))
    try:
        raw, unparsed = _parsed(archive.read(path, METADATA_BYTES))
        authors = _authors(raw)
    except (ValueError, RecursionError):
        problems.add("METADATA", "It is a message of parts, or nested too deeply.")
        return {}
    for name in unparsed:
        if name in {value.lower() for value in LABELS.values()}:
            problems.add(f"METADATA {name.title()}", "It is not valid. Build the wheel afresh.")
    requirements = raw.get("requires_dist", [])
    if len(requirements) > REQUIREMENTS:
        problems.add("METADATA Requires-Dist", f"It may list at most {REQUIREMENTS}.")
    table: dict[str, object] = {
        "name": raw.get("name"),
        "version": raw.get("version"),
        "description": raw.get("summary"),
        "requires-python": raw.get("requires_python"),
        "dependencies": [line for line in requirements[:REQUIREMENTS] if not _optional(line)],
        "classifiers": raw.get("classifiers"),
        "readme": _readme(raw),
        "license": _license(raw),
        "authors": authors,
        "urls": _urls(raw),
    }
    return {key: value for key, value in table.items() if value is not None}


def _parsed(data: bytes) -> tuple[RawMetadata, dict[str, list[str]]]:
    """METADATA's fields. Its body is text; as a MIME message it would be parsed part by part."""
    if MIME.search(HEADER_END.split(data, maxsplit=1)[0]):
        raise ValueError("METADATA has a Content-Type")
    return parse_email(data)


def _optional(line: str) -> bool:
    if len(line) > 500:
        return False
    try:
        requirement = Requirement(line)
    except (InvalidRequirement, RecursionError):
        return False
    return "extra ==" in str(requirement.marker or "")


def _readme(raw: RawMetadata) -> dict[str, str] | None:
    description = raw.get("description")
    if not description or description.strip() == "UNKNOWN":
        return None
    return {
        "text": description,
        "content-type": raw.get("description_content_type") or "text/x-rst",
    }


def _license(raw: RawMetadata) -> str | dict[str, str] | None:
    if expression := raw.get("license_expression"):
        return expression
    written = raw.get("license", "").strip()
    return {"text": written} if written not in ("", "UNKNOWN") else None


def _authors(raw: RawMetadata) -> list[dict[str, str]] | None:
    pairs = getaddresses([raw["author_email"]]) if raw.get("author_email") else []
    authors = [{"name": name, "email": email} for name, email in pairs if name or email]
    if raw.get("author") and not any(author["name"] for author in authors):
        authors.insert(0, {"name": raw["author"]})
    return authors or None


def _urls(raw: RawMetadata) -> dict[str, str] | None:
    urls = dict(raw.get("project_urls", {}))
    home = raw.get("home_page", "UNKNOWN")
    if home and home != "UNKNOWN":
        urls.setdefault("Homepage", home)
    return urls or None


def table_path(archive: Archive, problems: Problems) -> str | None:
    """Where the wheel's one practicum.toml is, if it has one."""
    paths = [path for path in archive.files if TABLE.fullmatch(path)]
    if len(paths) > 1:
        problems.add("practicum.toml", f"There is more than one: {', '.join(paths[:5])}.")
    return paths[0] if len(paths) == 1 else None


def entry_point(archive: Archive, problems: Problems) -> str | None:
    """The value of the one entry point in the group, if there is one."""
    path = next(
        (
            path
            for path in archive.files
            if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", path)
        ),
        None,
    )
    if path is None:
        return None
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    try:
        parser.read_string(archive.read(path, ENTRY_POINTS_BYTES).decode("utf-8"))
    except (ValueError, configparser.Error):
        message = f"It is not valid, or larger than {ENTRY_POINTS_BYTES // 1024} KiB."
        problems.add("entry_points.txt", message)
        return None
    values = list(parser[GROUP].values()) if parser.has_section(GROUP) else []
    if len(values) > 1:
        message = "Keep one entry; list several environments in practicum.toml: [[environments]]."
        problems.add(f"entry_points.txt {GROUP}", message)
    return values[0].strip() if len(values) == 1 else None
