"""From requirements to a lock: resolved in a sandbox, and built there where there is no wheel."""

import io
from collections.abc import Callable
from datetime import datetime

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag

from graders.bundling import lock, picking, toolchain
from graders.bundling.lock import BadLock, Locked, Pin
from graders.bundling.relay import Relay, path_of
from graders.bundling.session import BuildFailed, BuildSession
from graders.bundling.stock import Stock
from graders.errors import EnvironmentFault
from graders.sandbox.base import Mount, Sandbox
from graders.sandbox.interpreters import minor


def resolve(
    requirements: list[str],
    *,
    sandbox: Sandbox,
    stock: Stock,
    as_of: datetime,
    job: str,
    check: Callable[[], None] = lambda: None,
) -> list[Locked]:
    """One wheel for each package that the requirements need, for the sandbox's Python.

    Whatever the index got after `as_of` counts as not there, for what builds need too.

    Raises EnvironmentFault if there is no such set, or if it is too large; PlatformFault where the
    index or the sandbox failed; and what `check` raises, which is called twice a second.
    """
    attempt = _Attempt([_plain(one) for one in requirements], sandbox, stock, as_of, job, check)
    try:
        return attempt.run(None)
    except BuildFailed as failure:
        # Most sources are pure Python, and the compiler is large: it comes only now.
        try:
            with toolchain.mount(stock, check) as compiler:
                return attempt.run(compiler)
        except toolchain.NoCompiler as missing:
            raise EnvironmentFault(f"{failure}\n{missing}") from missing


def _plain(text: str) -> str:
    """A requirement as one line that can be nothing else, such as an option of uv."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0][:200]
        raise EnvironmentFault(f"The dependency {text[:200]!a} is none: {why}") from error
    if requirement.url:
        raise EnvironmentFault(
            f"The dependency {text[:200]!a} names an address; only packages of the index can be "
            "installed. Name a version."
        )
    return str(requirement)


class _Attempt:
    def __init__(
        self,
        requirements: list[str],
        sandbox: Sandbox,
        stock: Stock,
        as_of: datetime,
        job: str,
        check: Callable[[], None],
    ) -> None:
        self._requirements = requirements
        self._sandbox = sandbox
        self._stock = stock
        self._as_of = as_of
        self._job = job
        self._check = check

    def run(self, compiler: Mount | None) -> list[Locked]:
        relay = Relay(self._stock.index, self._stock.store)
        with BuildSession(
            self._sandbox,
            relay,
            self._stock.limits,
            as_of=self._as_of,
            job=self._job,
            compiler=compiler,
            check=self._check,
        ) as session:
            wanted = picking.tags(minor(self._sandbox.python))
            return [self._one(session, pin, wanted) for pin in self._pins(session)]

    def _pins(self, session: BuildSession) -> list[Pin]:
        try:
            found = lock.pins(session.resolve(self._requirements))
        except BadLock as error:
            raise EnvironmentFault(f"The dependencies cannot be locked: {error}.") from error
        most = self._stock.limits.packages
        if len(found) > most:
            raise EnvironmentFault(
                f"The dependencies are {len(found)} packages; {most} are allowed. Depend on less."
            )
        return found

    def _one(self, session: BuildSession, pin: Pin, wanted: list[Tag]) -> Locked:
        files = self._stock.index.files(pin.name)
        if wheel := picking.wheel(pin, files, wanted):
            return Locked(pin.name, pin.version, wheel.sha256, wheel.filename)
        archive = picking.source(pin, files)
        if archive is None:
            raise EnvironmentFault(
                f"{pin.name} {pin.version} has neither a wheel for this platform nor a source "
                "archive."
            )
        built = session.build(path_of(archive), archive.filename)
        if not picking.fits(built.filename, pin, wanted):
            raise EnvironmentFault(
                f"{archive.filename} builds {built.filename!a}, which is not {pin.name} "
                f"{pin.version} for this platform."
            )
        self._stock.kept.put(built.sha256, io.BytesIO(built.content))
        return Locked(pin.name, pin.version, built.sha256, built.filename, archive.sha256)
