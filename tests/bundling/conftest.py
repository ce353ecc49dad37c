"""A package index of the test's own, a store, and both drivers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from graders.bundling import resolving
from graders.bundling.index import Index
from graders.bundling.limits import BuildLimits
from graders.bundling.lock import Locked
from graders.bundling.stock import Stock
from graders.bundling.store import Store
from graders.sandbox import Sandbox
from tests.bundling.served import Served
from tests.sandbox.conftest import sandbox, state_dir  # noqa: F401 - fixtures

BUDGET = 1 << 30


class Shelf:
    """Built wheels or data, kept in memory as the hub's storage would."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}

    def put(self, sha256: str, content: BinaryIO) -> None:
        self.wheels[sha256] = content.read()

    def get(self, sha256: str) -> Iterator[bytes]:
        try:
            return iter([self.wheels[sha256]])
        except KeyError:
            raise FileNotFoundError(sha256) from None


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.stop()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", BUDGET)


@pytest.fixture
def make_index(served: Served) -> Iterator[Callable[..., Index]]:
    """Opens the served index under limits."""
    opened: list[Index] = []

    def make(url: str | None = None, **limits: float) -> Index:
        opened.append(Index(url or served.url, BuildLimits(**limits)))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


@pytest.fixture
def make_stock(make_index: Callable[..., Index], store: Store) -> Callable[..., Stock]:
    """A stock that is filled from the served index."""
    shelf = Shelf()

    def make(**limits: float) -> Stock:
        return Stock(store, make_index(**limits), shelf, BuildLimits(**limits))

    return make


@pytest.fixture
def resolve(sandbox: Sandbox) -> Callable[..., list[Locked]]:  # noqa: F811
    """Locks requirements in the sandbox, building what has no wheel."""

    def run(
        requirements: list[str],
        stock: Stock,
        check: Callable[[], None] = lambda: None,
        as_of: datetime | None = None,
    ) -> list[Locked]:
        return resolving.resolve(
            requirements,
            sandbox=sandbox,
            stock=stock,
            as_of=as_of or datetime.now(UTC),
            job="test-build",
            check=check,
        )

    return run


@pytest.fixture
def built(resolve: Callable[..., list[Locked]]) -> Callable[..., AbstractContextManager[Path]]:
    """The unpacked wheel of the only package that some requirements come to."""

    def run(requirements: list[str], stock: Stock) -> AbstractContextManager[Path]:
        (locked,) = resolve(requirements, stock)
        return stock.tree(locked)

    return run
