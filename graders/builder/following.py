"""What importing modules needs: found and compiled, with none of it run.

A module is compiled, the import instructions of its bytecode are read, and what they name is looked
for as an import would. Instructions inside functions do not count: they run later, if at all. Those
that only type checkers follow do, since packages that load lazily name there what they load.
"""

import importlib.util
import inspect
import marshal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from opcode import opmap
from pathlib import Path
from types import CodeType

MAX_SOURCE = 2 << 20  # bytes: compiling takes some hundred times as much memory
# A file that says so is used whatever its source's time or content is (PEP 552).
UNCHECKED = (1).to_bytes(4, "little")
LOAD_CONST, IMPORT_NAME, EXTENDED_ARG = map(
    opmap.__getitem__, ("LOAD_CONST", "IMPORT_NAME", "EXTENDED_ARG")
)

Import = tuple[str, int, Sequence[str]]  # name, level, and what is taken from it


class Follower:
    """Gives the sources that imports need, the nearest first. `paths` are as in `sys.path`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._found: dict[str, ModuleSpec | None] = {}
        self._waiting: deque[ModuleSpec] = deque()

    def want(self, name: str) -> bool:
        """Look for a module and the packages that it is in; whether it is a package."""
        where: Sequence[str] | None = self._paths
        parts = name.split(".")
        if parts[0] in sys.stdlib_module_names:
            return False
        for count in range(1, len(parts) + 1):
            if where is None:
                return False
            where = self._folders(".".join(parts[:count]), where)
        return where is not None

    def sources(self) -> Iterator[tuple[str, bytes]]:
        """Path and bytecode of each source; what cannot be compiled is left out."""
        while self._waiting:
            spec = self._waiting.popleft()
            try:
                code, content = _compiled(str(spec.origin))
                self._follow(code, spec.parent or "")
            except (OSError, SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
                continue  # importing it tells why, if anybody does
            yield str(spec.origin), content

    def _folders(self, name: str, where: Sequence[str]) -> Sequence[str] | None:
        """Where the modules of a package lie; None if it is no package."""
        if name not in self._found:
            found = self._found[name] = _look(name, where)
            if found is not None and isinstance(found.loader, SourceFileLoader):
                self._waiting.append(found)
        known = self._found[name]
        return known.submodule_search_locations if known else None

    def _follow(self, code: CodeType, package: str) -> None:
        for name, level, taken in _imports(code):
            full = _absolute(name, level, package)
            if full is None or (full and not self.want(full)):
                continue
            for one in taken:
                self.want(f"{full}.{one}" if full else one)


def _look(name: str, where: Sequence[str]) -> ModuleSpec | None:
    """The module of that name in the first folder that has it; a namespace is in all of them."""
    portions: list[str] = []
    for folder in where:
        spec = _finder(folder).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or ()
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


@cache
def _finder(folder: str) -> FileFinder:
    return FileFinder(
        folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceFileLoader, SOURCE_SUFFIXES)
    )


def _compiled(path: str) -> tuple[CodeType, bytes]:
    """A source's code, and what a .pyc of it holds. Raises ValueError if it is too long."""
    with Path(path).open("rb") as file:
        source = file.read(MAX_SOURCE + 1)
    if len(source) > MAX_SOURCE:
        raise ValueError("It is too long.")
    code: CodeType = compile(source, path, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source)
    return code, head + marshal.dumps(code)


def _imports(code: CodeType) -> Iterator[Import]:
    """The import instructions of a module, those in its classes too."""
    argument = 0
    constants: tuple[object, object] = (0, ())  # what was loaded last: a level, and names
    for instruction, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument |= low
        if instruction == EXTENDED_ARG:
            argument <<= 8
            continue
        if instruction == LOAD_CONST:
            constants = (constants[1], code.co_consts[argument])
        elif instruction == IMPORT_NAME:
            level, taken = constants
            yield code.co_names[argument], level, tuple(taken or ())  # type: ignore[misc, arg-type]
        argument = 0
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and not inner.co_flags & inspect.CO_OPTIMIZED:
            yield from _imports(inner)


def _absolute(name: str, level: int, package: str) -> str | None:
    """The whole name of what an import names; None if that is beyond everything.

    Just above a top-level package lies what is beside it: servers of OpenEnv reach for that, where
    their archive's top is a package only once it is installed.
    """
    if level == 0:
        return name
    parts = package.split(".") if package else []
    kept = len(parts) + 1 - level
    return ".".join([*parts[:kept], *([name] if name else [])]) if kept >= 0 else None
