"""Which format an upload is of and what makes its environment, by its files alone."""

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from environments.archives import Archive
from environments.manifest import openenv
from environments.manifest.base import Problems
from environments.manifest.code import BadCode, Code
from environments.manifest.formats import LIBRARIES, TABLE, Format, named
from environments.manifest.hub import Hub

LOADER, TASKSET = "load_environment", "Taskset"


class Unclear(ValueError):
    """It cannot be told from the files; the message says what to do."""


@dataclass(frozen=True)
class Found:
    """What makes an environment: entry, format if it is known, the folder to import it from."""

    entry: str
    format: str | None
    folder: str


class Recogniser:
    """Looks at one archive. `project` is the project's name, `ways` how an entry is written."""

    def __init__(
        self, archive: Archive, code: Code, project: str, dependencies: tuple[str, ...], ways: str
    ) -> None:
        self._archive = archive
        self._code = code
        self._package = code.package(project)
        self._depends = {canonicalize_name(Requirement(line).name) for line in dependencies}
        self._ways = ways
        self._seen: dict[tuple[str | None, str | None, bool], Found | str] = {}

    def find(self, given: Hub, label: str, problems: Problems) -> Found | None:
        """What makes the environment of these settings; None if that is not clear, which is then
        reported as a problem of `label`, or if a wrong entry was."""
        if given.entry == "":
            return None
        # The environments of a collection are mostly alike.
        key = given.entry, given.format, bool(given.args)
        if key not in self._seen:
            self._seen[key] = self._look(given)
        found = self._seen[key]
        if isinstance(found, str):
            problems.add(label, found)
            return None
        return found

    def _look(self, given: Hub) -> Found | str:
        """What makes it, or why that is not clear."""
        try:
            if given.entry:
                return self._written(given.entry, given.format)
            return self._unwritten(given)
        except (BadCode, openenv.BadOpenEnv, Unclear) as error:
            return str(error)

    def _written(self, entry: str, form: str | None) -> Found:
        module = entry.partition(":")[0]
        if self._code.folder(module) is None and (library := self._library(module)):
            return Found(entry, form or library.name, self._code.folders[0])
        folder = self._code.require(entry)
        return Found(entry, form or self._told(entry), folder)

    def _library(self, module: str) -> Format | None:
        """The library that a module outside the archive is of. Raises Unclear if nothing brings
        it."""
        top = module.partition(".")[0]
        library = next((one for one in LIBRARIES if one.module == top), None)
        if library and library.package not in self._depends:
            raise Unclear(
                f"{module} is a module of {library.package}, which is not among the "
                "dependencies. Add it there."
            )
        return library

    def _told(self, entry: str) -> str | None:
        """The format by the entry itself; None if it is to be found out when it is made."""
        module, _, name = entry.partition(":")
        if name == LOADER and "verifiers" in self._depends:
            return "verifiers-v0"
        return "verifiers-v1" if self._code.derives(module, name, TASKSET) else None

    def _unwritten(self, given: Hub) -> Found:
        if given.format is None:
            entry, form = self._recognised()
        else:
            entry, form = self._of(given.format), given.format
        if entry == named(form).entry:
            if not given.args:
                raise Unclear(
                    f"{entry} needs to know what to make. Write its arguments as args = {{...}}, "
                    'or an entry of your own as entry = "package.module:make".'
                )
            return self._written(entry, form)
        return Found(entry, form, self._code.require(entry))

    def _recognised(self) -> tuple[str, str]:
        """The entry and the format. Raises Unclear if there is not exactly one."""
        if entry := self._openenv():
            return entry, "openenv"
        if entry := self._loader():
            return entry, "verifiers-v0"
        if entry := self._taskset():
            return entry, "verifiers-v1"
        known = {one.package: one for one in TABLE if one.package in self._depends}
        libraries = [one for one in known.values() if one.entry]
        if len(known) == 1 and libraries:
            return libraries[0].entry, libraries[0].name
        if libraries:
            raise Unclear(
                f"The dependencies have {' and '.join(sorted(known))}. Say with format = "
                f'"{libraries[0].name}", or another, which one makes the environment, or write an '
                "entry."
            )
        raise Unclear(self._all_ways())

    def _of(self, form: str) -> str:
        """The entry of an upload that says its format and no entry. Raises Unclear."""
        match form:
            case "openenv":
                entry, missing = self._openenv(), "There is no openenv.yaml at the top of it"
            case "verifiers-v0":
                entry, missing = self._loader(), f"{self._place()} has no {LOADER}"
            case "verifiers-v1":
                entry, missing = self._taskset(), f"{self._place()} has no Taskset in its __all__"
            case _:
                entry, missing = named(form).entry, f"Of the format {form} nothing is called itself"
        if not entry:
            raise Unclear(f'{missing}. Add it, or write entry = "package.module:make".')
        return entry

    def _openenv(self) -> str | None:
        at = openenv.path(self._archive)
        return openenv.entry(self._archive, at, self._code) if at else None

    def _loader(self) -> str | None:
        package = self._package
        has_one = package is not None and self._code.binds(package, LOADER)
        return f"{package}:{LOADER}" if has_one else None

    def _taskset(self) -> str | None:
        module = self._code.module(self._package) if self._package else None
        if module is None or self._package is None:
            return None
        found = [
            name
            for name in dict.fromkeys(module.exports)
            if self._code.derives(self._package, name, TASKSET)
        ]
        if len(found) > 1:
            raise Unclear(
                f"{module.path} has {' and '.join(found[:5])} in its __all__. Keep one Taskset "
                f'there, or write entry = "{self._package}:{found[0]}".'
            )
        return f"{self._package}:{found[0]}" if found else None

    def _place(self) -> str:
        return f"The package {self._package}" if self._package else "The project's package"

    def _all_ways(self) -> str:
        libraries = ", ".join(one.package for one in LIBRARIES)
        return (
            f"Say what makes the environment: {self._ways} Without one there has to be a "
            f"{LOADER} in the project's package, or one Taskset in its __all__ (verifiers), or an "
            f"openenv.yaml, or exactly one of {libraries} among the dependencies, with args for it."
        )
