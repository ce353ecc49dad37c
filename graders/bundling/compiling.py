"""Bytecode for a bundle, so that no start of its environment has to compile.

A build sandbox compiles what importing the environment needs, and runs none of it. What comes out
is taken for an attacker's, as a hostile source may have broken the compiler: it goes beside sources
of this very bundle, where it can do no more than they can. A source that cannot be compiled, or for
which no time or room is left, stays as it is; none of that fails a build.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from environments.manifest.data import inner_path
from graders.bundling import driven
from graders.bundling.driven import Driven
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.relay import Answer
from graders.bundling.wheels import FOLDER, READ_ONLY
from graders.errors import EnvironmentFault
from graders.fields import Fields, ProtocolError
from graders.sandbox.base import Mount, Sandbox, Spec
from graders.sandbox.interpreters import minor

MOUNTED = "/env"
LONGEST = 4 << 20  # bytes of one file
GRACE_S = 30.0  # to start, and for the source that is under way when the time is over
MAX_PATH = 4000  # characters
ENV = {"PYTHONHASHSEED": "0"}  # the same bytes each time

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imports:
    """The modules that are imported, and the folders of the bundle that they are looked for in."""

    modules: tuple[str, ...]
    paths: tuple[str, ...]


class CompileSession(Driven):
    """A builder that compiles what a bundle's environments import."""

    work = "Compiling"
    advice = "depend on less"
    longest_path = 0

    def __init__(
        self,
        sandbox: Sandbox,
        bundle: Path,
        limits: BuildLimits,
        job: str,
        check: Callable[[], None],
    ) -> None:
        self._bundle = bundle
        limits = replace(limits, seconds=limits.bytecode_seconds + GRACE_S)
        super().__init__(sandbox, limits, job, check)

    def compile(self, wanted: Imports) -> Iterator[tuple[str, bytes]]:
        """Each source, by its path in the bundle, with its bytecode; the nearest first."""
        self._send(
            "compile",
            modules=list(wanted.modules),
            paths=[f"{MOUNTED}/{path}" for path in wanted.paths],
            seconds=self._limits.bytecode_seconds,
            longest=LONGEST,
        )
        parsers = {"bytecode": _bytecode, "compiled": lambda _: None}
        while (found := self._next(parsers)) is not None:
            yield found

    def _spec(self, job: str) -> Spec:
        mount = Mount(self._bundle, MOUNTED)
        return driven.spec(job, self._limits, mount, sends_mb=self._limits.bytecode_mb, env=ENV)

    def _get(self, path: str, asked: Mapping[str, str]) -> Answer:
        raise ProtocolError("The builder asked for something while it compiled.")

    def _blame(self, said: str) -> EnvironmentFault:
        return EnvironmentFault(f"Compiling failed.\n{said}")


def add_bytecode(
    bundle: Path,
    wanted: Imports,
    sandbox: Sandbox,
    limits: BuildLimits,
    *,
    job: str,
    check: Callable[[], None] = lambda: None,
    beside: tuple[int, int] = (0, 0),
) -> None:
    """Put the bytecode of what is `wanted` beside the sources of a bundle, for this sandbox.

    `beside` are the files and bytes that count against the limits already. Raises PlatformFault
    where the sandbox failed, and what `check` raises, which is called twice a second.
    """
    shelf = _Shelf(bundle, wanted.paths, f"cpython-{minor(sandbox.python).replace('.', '')}")
    files = min(limits.bytecode_files, limits.files - beside[0])
    size = min(limits.bytecode_mb * MIB, limits.bundle_mb * MIB - beside[1])
    try:
        with CompileSession(sandbox, bundle, limits, job, check) as session:
            for path, content in session.compile(wanted):
                files, size = files - 2, size - len(content)  # a folder may be made, too
                if files < 0 or size < 0:
                    break
                shelf.put(path, content)
    except EnvironmentFault as fault:
        logger.warning("%s: what is left will be compiled at every start. %s", job, fault)


class _Shelf:
    """Puts bytecode where an interpreter with this tag looks for it."""

    def __init__(self, bundle: Path, paths: tuple[str, ...], tag: str) -> None:
        self._bundle = bundle
        self._tops = [bundle / path for path in paths]
        self._tag = tag

    def put(self, path: str, content: bytes) -> None:
        """Nothing happens unless it is the path of a source, and of one that has none yet."""
        target = self._place(path)
        if target is not None:
            with target.open("xb") as file:
                file.write(content)
            target.chmod(READ_ONLY)

    def _place(self, path: str) -> Path | None:
        try:
            source = self._bundle / inner_path(path)
        except ValueError:
            return None
        is_inside = any(source.is_relative_to(top) for top in self._tops)
        if not is_inside or source.suffix != ".py" or not source.is_file():
            return None
        folder = source.parent / "__pycache__"
        target = folder / f"{source.stem}.{self._tag}.pyc"
        if not folder.exists():
            folder.mkdir()
            folder.chmod(FOLDER)
        return None if not folder.is_dir() or target.exists() else target


def _bytecode(fields: Fields) -> tuple[str, bytes]:
    path, data = fields.text("path", MAX_PATH), fields.text("data", 2 * LONGEST)
    try:
        return path, base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error) as error:
        raise ProtocolError("The builder sent bytecode that is not base64.") from error
