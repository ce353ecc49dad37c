"""What a version says about itself, read from its archive without running anything in it."""

import re
import tomllib
from dataclasses import asdict, dataclass

from environments.archives import Archive
from environments.manifest import wheel
from environments.manifest.base import JSON, BadManifest, Manifest, Problem, Problems, Table
from environments.manifest.code import Code, layout
from environments.manifest.collection import Declared, declared
from environments.manifest.data import Needed, package_data
from environments.manifest.formats import FORMATS, pins
from environments.manifest.project import Project, project
from environments.manifest.recognition import Found, Recogniser

__all__ = ["FORMATS", "JSON", "BadManifest", "Manifest", "Problem", "pins", "read"]

TOML_BYTES = 256 * 1024

# A key of more than twenty parts: tomllib's time grows with their number squared, so that a
# few kilobytes could keep a worker busy for minutes.
LONG_KEY = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')[ \t]*+){20}""")


def read(archive: Archive) -> tuple[Manifest, ...]:
    """What a checked archive says of each of its environments, at least one, in its order.

    Raises BadManifest with every problem found.
    """
    problems = Problems()
    said = (_wheel if archive.kind == "wheel" else _source)(archive, problems)
    each = declared(said.table, said.project)
    code = Code(archive, said.folders)
    needed = package_data(said.table, code)
    recogniser = Recogniser(archive, code, said.project.name, said.project.dependencies, said.ways)
    found = [recogniser.find(one.settings, one.label, problems) for one in each]
    problems.check()
    return tuple(
        _manifest(said.project, needed, one, how)
        for one, how in zip(each, found, strict=True)
        if how
    )


def _manifest(project: Project, needed: Needed, one: Declared, found: Found) -> Manifest:
    return Manifest(
        **asdict(project)
        | asdict(needed)
        | asdict(one.settings)
        | {"package": project.name, "name": one.name, "summary": one.summary}
        | {"entry": found.entry, "format": found.format, "import_paths": (found.folder,)}
    )


@dataclass(frozen=True)
class _Said:
    """What an archive says: the project, the hub's table, where its code may be."""

    project: Project
    table: Table
    folders: tuple[str, ...]
    ways: str


def _source(archive: Archive, problems: Problems) -> _Said:
    if "pyproject.toml" not in archive.files:
        problems.add("pyproject.toml", _missing(archive))
        problems.check()
    data = _toml(archive, "pyproject.toml", problems)
    problems.check()
    if not isinstance(data.get("project"), dict):
        problems.add("project", "There is no [project] table; write one with name and version.")
    metadata = project(
        Table(_table(data, "project"), lambda key: f"project.{key}", problems), archive
    )
    tool = data.get("tool")
    values = _table(tool, "practicum") if isinstance(tool, dict) else {}
    table = Table(values, lambda key: f"tool.practicum.{key}", problems)
    return _Said(
        metadata, table, layout(archive), 'entry = "package.module:make" in [tool.practicum].'
    )


def _wheel(archive: Archive, problems: Problems) -> _Said:
    path = wheel.table_path(archive, problems)
    values = _toml(archive, path, problems) if path else {}
    if "entry" not in values and (entry := wheel.entry_point(archive, problems)):
        values["entry"] = entry
    problems.check()
    metadata = project(Table(wheel.metadata(archive, problems), wheel.label, problems), archive)
    table = Table(values, lambda key: f"practicum.toml {key}", problems)
    return _Said(metadata, table, ("",), wheel.WAYS)


def _missing(archive: Archive) -> str:
    deeper = [path for path in archive.files if path.endswith("/pyproject.toml")]
    if deeper:
        return f"It is at {deeper[0]}, not at the top. Pack the folder that holds it."
    return "It is missing. Add one with a [project] and a [tool.practicum] table."


def _toml(archive: Archive, path: str, problems: Problems) -> dict[str, object]:
    try:
        text = archive.read(path, TOML_BYTES).decode("utf-8")
        if LONG_KEY.search(text):
            problems.add(path, "It has a key of more than twenty parts. Use fewer dots.")
            return {}
        return dict(tomllib.loads(text))
    except UnicodeDecodeError:
        problems.add(path, "It is not UTF-8. Save it as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        problems.add(path, f"It is not valid TOML: {str(error)[:200]}.")
    except (ValueError, RecursionError):
        problems.add(path, f"It is larger than {TOML_BYTES // 1024} KiB, or nested too deeply.")
    return {}


def _table(data: dict[str, object], key: str) -> dict[str, object]:
    table = data.get(key)
    return table if isinstance(table, dict) else {}
