"""Projects with their real dependencies, bundled as the build does it, and sessions with them."""

import fcntl
import hashlib
import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from environments import archives, manifest
from environments.manifest import Manifest
from environments.packing import pack
from graders.bundling import resolving
from graders.bundling.compiling import Imports, add_bytecode
from graders.bundling.index import Index, default_url
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.stock import Stock
from graders.bundling.store import Store
from graders.bundling.wheels import open_folders
from graders.runner.formats import ADAPTERS
from graders.sandbox import Sandbox
from graders.sandbox.base import Limits
from graders.session import Launch, Model, Request, RolloutResult, Session
from tests.bundling.conftest import Shelf
from tests.runner.bench import carried_out

MEMORY_MB = 512  # as graders.pipeline.launching has it


class Bundled:
    """A bundle of a project, and what its manifest says about running it."""

    def __init__(self, sandbox: Sandbox, folder: Path, manifest: Manifest) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.manifest = manifest

    def launch(self, **changes: Any) -> Launch:
        told = self.manifest
        terms: dict[str, Any] = {
            "bundle": self.folder,
            "entry": told.entry,
            "format": told.format,
            "args": told.args,
            "paths": (
                *(f"/env/project/{one}".rstrip("/") for one in told.import_paths),
                "/env/site-packages",
            ),
            "max_turns": told.max_turns,
            "reward_range": told.reward_range,
            "limits": Limits(seconds=240.0, memory_mb=max(MEMORY_MB, told.min_memory_mb or 0)),
            "concurrency": 4,
            "job": "test",
        }
        return Launch(**{**terms, **changes})

    def session(self, chat: Model | None = None, **changes: Any) -> Session:
        return Session(self.sandbox, self.launch(**changes), chat)

    def run(self, chat: Model, requests: list[Request], **changes: Any) -> list[RolloutResult]:
        """The results in the order of the requests."""
        with self.session(chat, **changes) as session:
            return carried_out(session, requests)

    def is_repeatable(self, chat: Model, tasks: int = 6, **changes: Any) -> bool:
        """Whether rewards and transcripts are the same alone and with twelve at once."""
        requests = [Request(task, n, 1000 * task + n) for task in range(tasks) for n in range(4)]
        alone, together = (
            [
                (one.reward, one.per_agent, one.metrics, one.error_text, one.messages)
                for one in self.run(chat, requests, **{**changes, "concurrency": concurrency})
            ]
            for concurrency in (1, 12)
        )
        return alone == together


def bundle(project: Path, sandbox: Sandbox) -> Bundled:
    """Lock and bundle a project's folder, for the first of its environments; what this data folder
    has already is used again."""
    content = pack(project)
    archive = archives.check(io.BytesIO(content), f"{project.name}.tar.gz")
    told, *_ = manifest.read(archive)
    root = settings.PATHS.work / "test-formats"
    folder = root / hashlib.sha256(b"site-packages" + content).hexdigest()
    with _locked(root):
        if not folder.exists():
            _make(folder, archive, told, sandbox)
    return Bundled(sandbox, folder, told)


def _make(folder: Path, archive: archives.Archive, told: Manifest, sandbox: Sandbox) -> None:
    pins = ADAPTERS[told.format].pins if told.format in ADAPTERS else ()
    making = folder.with_suffix(".new")
    with _stock() as stock:
        locked = resolving.resolve(
            [*told.dependencies, *pins],
            sandbox=sandbox,
            stock=stock,
            as_of=datetime.now(UTC),
            job="test-formats",
        )
        archive.extract(making / "project")
        stock.install(locked, making / "site-packages")
    paths = (*(f"project/{one}".rstrip("/") for one in told.import_paths), "site-packages")
    wanted = Imports((told.entry.partition(":")[0],), paths)
    open_folders(making)
    add_bytecode(making, wanted, sandbox, BuildLimits(), job="test-bytecode")
    making.rename(folder)


@contextmanager
def _stock() -> Iterator[Stock]:
    """The store of this data folder's workers, so that nothing is fetched twice."""
    limits = BuildLimits()
    store = Store(settings.PATHS.work / "store", settings.STORE_MB * MIB)
    with closing(Index(default_url(), limits)) as index:
        yield Stock(store, index, Shelf(), limits)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process at a time: a library that two tests need is fetched once."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
