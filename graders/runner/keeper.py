"""The process that imports a contributed web app and forks servers of it; see servers.py."""

import gc
import importlib.util
import json
import os
import re
import signal
import socket
import sys
import tomllib
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from functools import reduce
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from . import imports
from .faults import LoadError, describe
from .isolation import Stream
from .loading import prepare_random
from .servers import HOST, MODULES

MANIFEST = "openenv.yaml"

_decode = json.JSONDecoder().decode

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


def main() -> NoReturn:
    """Do what the other end of the link says until it is gone. argv: its descriptor, the app."""
    link = int(sys.argv[1])
    told = cast(TextIO, socket.socket(fileno=link).makefile("rw", encoding="utf-8"))
    try:
        keeper = Keeper(link, told, _loaded(sys.argv[2]))
    except BaseException as error:
        own = (sys.base_prefix, str(Path(__file__).parents[1]))
        contributed = [path for path in sys.path if not path.startswith(own)]
        _tell(told, error=describe(error, contributed))
        os._exit(1)
    try:
        keeper.keep()
    finally:
        os._exit(0)


def _tell(told: TextIO, **answer: Any) -> None:
    told.write(f"{json.dumps(answer)}\n")
    told.flush()


class Keeper:
    """Forks and ends servers. `config` is uvicorn's, loaded, with a `Seeded` as its app.

    What is `told` comes over the descriptor `link`.
    """

    def __init__(self, link: int, told: TextIO, config: Any) -> None:
        self._link = link
        self._told = told
        self._config = config
        self._servers: set[int] = set()

    def keep(self) -> None:
        """Answer each line with one; once there are no more, end all servers."""
        self._share()
        _tell(self._told)
        for line in self._told:
            match _decode(line):
                case {"start": [task, seed]}:
                    _tell(self._told, **self._start(task, seed))
                case {"stop": pid}:
                    self._stop(pid)
                    _tell(self._told)
                case {"warm": names}:
                    self._warm(names)
                    _tell(self._told)
        for pid in tuple(self._servers):
            self._stop(pid)

    def _share(self) -> None:
        gc.collect()
        gc.freeze()  # What is shared stays shared: collecting would write to all of it.

    def _warm(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in sys.modules:
                with suppress(Exception):  # A server will meet it again, if it matters.
                    imports.module(name)
        self._share()

    def _start(self, task: int, seed: int) -> dict[str, int]:
        # Listening before the fork: who connects early waits for the server to come up.
        with socket.create_server((HOST, 0)) as listener:
            pid = os.fork()
            if pid == 0:
                self._serve(listener, task, seed)
            self._servers.add(pid)
            with suppress(OSError):  # It may have done so, and have ended, by now.
                os.setpgid(pid, pid)
            return {"port": listener.getsockname()[1], "pid": pid}

    def _serve(self, listener: socket.socket, task: int, seed: int) -> NoReturn:
        try:
            os.setpgid(0, 0)
            os.close(self._link)  # It is the runner's and the keeper's.
            self._config.app.seed = seed
            Stream(task).lay_in()
            imports.module("uvicorn").Server(self._config).run(sockets=[listener])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _stop(self, pid: int) -> None:
        self._servers.discard(pid)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Seeded:
    """The contributed ASGI app, with the rollout's random state laid in on the way.

    A server begins with the task's. The first message of its WebSocket makes the problem; from the
    second one on, what is drawn depends on `seed`. At `MODULES` it says what it has imported.
    """

    def __init__(self, app: Any) -> None:
        self.seed = 0
        self._app = app
        self._messages = 0

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == MODULES:
            body = json.dumps({"modules": list(sys.modules)}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return

        async def counted() -> Event:
            event = await receive()
            if event["type"] == "websocket.receive":
                self._messages += 1
                if self._messages == 2:
                    Stream(self.seed).lay_in()
            return event

        await self._app(scope, counted, send)


def _loaded(entry: str) -> Any:
    uvicorn = imports.module("uvicorn")
    prepare_random()
    config = uvicorn.Config(
        Seeded(_import(entry)),
        loop="asyncio",
        access_log=False,
        log_level="warning",
        ws_ping_interval=None,  # Its pings would draw from the global random state.
    )
    config.load()
    return config


def _import(entry: str) -> Any:
    """The app that "package.module:name" names, found as its own server would find it.

    That is from the archive's top, as `uvicorn server.app:app` does there; or, where an import
    reaches above the top, from the package that an installation would make of it.
    """
    module, _, name = entry.partition(":")
    root = next((Path(path) for path in sys.path if Path(path, MANIFEST).is_file()), None)
    names = () if root is None else _names(root)
    if root is not None:
        os.chdir(root)
        sys.meta_path.append(Top(root, names))
    missed: list[Exception] = []
    for candidate in (module, *(f"{one}.{module}" for one in names)):
        try:
            imported = imports.module(candidate)
            break
        except (ImportError, LoadError) as error:
            if not _is_out_of_place(error):
                raise
            missed.append(error)
            _forget(root)
    else:
        raise missed[0]
    try:
        return reduce(getattr, name.split("."), imported)
    except AttributeError as error:
        raise LoadError(f'The app "{entry}" cannot be found: {error}.') from error


class Top(MetaPathFinder):
    """Finds the archive's top under the names that it has when it is installed as a package."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._root = root
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        inside, folder = self._root / "__init__.py", [str(self._root)]
        if inside.is_file():
            return importlib.util.spec_from_file_location(
                fullname, inside, submodule_search_locations=folder
            )
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = folder
        return spec


def _names(root: Path) -> tuple[str, ...]:
    """What the package that `root` is may be called, by its pyproject.toml; likeliest first."""
    try:
        with (root / "pyproject.toml").open("rb") as file:
            data = tomllib.load(file)
    except (OSError, ValueError):
        return ()
    project, tool = data.get("project", {}), data.get("tool", {})
    folders = tool.get("setuptools", {}).get("package-dir", {})
    scripts = [str(one).partition(".")[0] for one in project.get("scripts", {}).values()]
    own = re.sub(r"[-_.]+", "_", str(project.get("name", ""))).lower()
    found = [name for name, folder in folders.items() if folder in (".", "./")]
    found += [*scripts, own.removeprefix("openenv_"), own]
    return tuple(dict.fromkeys(one for one in found if one.isidentifier()))


def _is_out_of_place(error: Exception) -> bool:
    """Whether a module could not be imported because of the name by which it was."""
    return isinstance(error, LoadError) or "relative import" in str(error)


def _forget(root: Path | None) -> None:
    """Drop what was imported from the archive, so that no module of it is there twice."""
    for name, module in tuple(sys.modules.items()):
        folders = getattr(module, "__path__", ())
        place = getattr(module, "__file__", None) or next(iter(folders), None)
        if root is not None and place is not None and Path(place).is_relative_to(root):
            del sys.modules[name]
