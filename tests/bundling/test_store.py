"""The store: whole entries only, shared by processes, within a budget, whatever happens."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graders.bundling import store as module
from graders.bundling.store import Store
from graders.errors import EnvironmentFault, PlatformFault

ROOT = Path(__file__).parents[2]
KIB = 1024


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entries(store: Store) -> set[str]:
    return {
        f"{path.parent.name}/{path.name[:12]}"
        for path in store._root.glob("*/*")
        if not path.name.startswith(".")
    }


def scratch(store: Store) -> list[Path]:
    return list(store._root.glob("*/.*"))


def fetch(store: Store, content: bytes) -> None:
    with store.download(digest(content), lambda: [content]) as path:
        assert path.read_bytes() == content


def filler(*files: str, size: int = 64 * KIB):
    def fill(folder: Path) -> None:
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(os.urandom(size))

    return fill


def unused() -> None:
    pytest.fail("it was there already")


def test_entries_are_made_once(store):
    fetch(store, b"content")
    with store.download(digest(b"content"), unused) as path:
        assert path.read_bytes() == b"content"
    with store.wheel("w", filler("a")), store.wheel("w", unused) as tree:
        assert [file.name for file in tree.iterdir()] == ["a"]
    with store.bundle("b", filler("a")), store.bundle("b", unused):
        pass
    assert entries(store) == {f"files/{digest(b'content')[:12]}", "wheels/w", "bundles/b"}
    assert scratch(store) == []


def test_other_bytes_are_never_kept(store):
    with (
        pytest.raises(PlatformFault, match="came with other bytes"),
        store.download(digest(b"wanted"), lambda: [b"other"]),
    ):
        pass
    assert entries(store) == set()
    assert scratch(store) == []


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (EnvironmentFault("bad wheel"), EnvironmentFault, "bad wheel"),
        (PlatformFault("index down"), PlatformFault, "index down"),
        (OSError(5, "Input/output error"), PlatformFault, "store failed: Input/output error"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_what_fails_half_way_leaves_nothing(store, error, raised, words):
    def fail(folder: Path) -> None:
        filler("a", "b")(folder)
        raise error

    with pytest.raises(raised, match=words), store.bundle("b", fail):
        pass
    assert entries(store) == set()
    assert scratch(store) == []


def age(store: Store, kind: str, name: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(store._root / kind / name, (then, then))


def test_what_was_used_least_recently_goes_first(tmp_path):
    store = Store(tmp_path, 200 * KIB)
    for number, name in enumerate("abc"):
        with store.wheel(name, filler("x")):
            pass
        age(store, "wheels", name, 100 - number)
    with store.wheel("a", unused):  # used again: now b is the oldest
        pass
    with store.bundle("new", filler("x")):
        pass
    assert "wheels/b" not in entries(store)
    assert {"wheels/a", "bundles/new"} <= entries(store)
    assert store.trim() <= 200 * KIB


def test_what_is_held_stays(tmp_path):
    store = Store(tmp_path, 0)
    with (
        store.bundle("b", filler("x")) as bundle,
        store.wheel("w", filler("x")) as tree,
        store.download(digest(b"f"), lambda: [b"f"]) as file,
    ):
        store.trim()
        assert (bundle / "x").exists()
        assert (tree / "x").exists()
        assert file.exists()
    store.trim()
    assert entries(store) == set()
    assert scratch(store) == []


def test_a_wheel_that_is_linked_goes_with_its_bundle_not_before(tmp_path):
    roomy = Store(tmp_path, 1 << 30)

    def link(folder: Path) -> None:
        folder.mkdir()
        with roomy.wheel("w", filler("x")) as tree:
            os.link(tree / "x", folder / "x")

    with roomy.bundle("b", link):
        age(roomy, "wheels", "w", 1000)
        Store(tmp_path, 0).trim()
        assert entries(roomy) == {"wheels/w", "bundles/b"}
    Store(tmp_path, 0).trim()
    assert entries(roomy) == set()


def test_linked_files_count_once(tmp_path):
    store = Store(tmp_path, 1 << 30)
    with store.wheel("w", filler("x", size=1 << 20)) as tree:
        alone = store.trim()

        def link(folder: Path) -> None:
            folder.mkdir()
            os.link(tree / "x", folder / "x")

        with store.bundle("b", link):
            assert alone <= store.trim() < alone + 64 * KIB


def test_an_entry_dropped_while_one_waits_is_made_again(store):
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        filler("x")(folder)

    with store.wheel("w", make):
        pass
    path = store._root / "wheels" / "w"
    with module._locked(path, module.fcntl.LOCK_EX) as ours:  # as who drops it does
        assert ours
        found: list[bool] = []

        def use() -> None:
            with store.wheel("w", make) as tree:
                found.append((tree / "x").exists())

        waiting = threading.Thread(target=use)
        waiting.start()
        time.sleep(0.2)
        with store._scratch(path.parent) as folder:
            path.rename(folder / "dropped")
    waiting.join(10)
    assert (found, len(made)) == ([True], 2)


RACER = """
import os, sys, time
from pathlib import Path
from graders.bundling.store import Store
store = Store(Path(sys.argv[1]), int(sys.argv[2]))
def fill(folder):
    folder.mkdir()
    for name in range(20):
        (folder / str(name)).write_bytes(b"x" * 4096)
for turn in range(40):
    name = str(turn % 5)
    with store.bundle(name, fill) as bundle, store.wheel(name, fill) as tree:
        for folder in (bundle, tree):
            assert len(list(folder.iterdir())) == 20, os.listdir(folder)
    if turn % 7 == 0:
        store.trim()
"""


@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["roomy", "always full"])
def test_processes_race_for_the_same_entries(tmp_path, budget):
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), str(budget)], cwd=ROOT)
        for _ in range(4)
    ]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0, 0]
    assert scratch(Store(tmp_path, budget)) == []


KILLED = """
import sys, time
from pathlib import Path
from graders.bundling.store import Store
def fill(folder):
    folder.mkdir()
    (folder / "half").write_text("x")
    print("making", flush=True)
    time.sleep(60)
with Store(Path(sys.argv[1]), 1 << 30).bundle("b", fill):
    pass
"""


def test_what_a_killed_maker_left_is_cleared(tmp_path, monkeypatch):
    store = Store(tmp_path, 1 << 30)
    monkeypatch.setattr(module, "SCRATCH_AGE_S", 0.0)
    maker = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"making\n"
    store.trim()
    assert len(scratch(store)) == 1  # it lives
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    maker.stdout.close()
    store.trim()
    assert scratch(store) == []
    with store.bundle("b", filler("x")):
        pass


def test_scratch_that_is_brand_new_is_left_alone(store):
    store._folder("wheels")
    fresh = store._root / "wheels/.new-fresh"
    fresh.mkdir()
    store.trim()
    assert fresh.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = "size=1m,nr_inodes=64"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_a_full_disk_is_the_platforms_fault_and_leaves_nothing_half_made(small_disk):
    store = Store(small_disk, 1 << 30)
    big = b"x" * (2 << 20)
    for attempt in (
        lambda: store.download(digest(big), lambda: [big[:KIB], big[KIB:]]),
        lambda: store.wheel("w", filler("a", "b", "c", size=512 * KIB)),
        lambda: store.bundle("b", filler(*map(str, range(100)), size=1)),
    ):
        with pytest.raises(PlatformFault, match="store failed: No space left"), attempt():
            pass
        assert entries(store) == set()
        assert scratch(store) == []
    fetch(store, b"small")  # there is room again


def test_a_store_that_cannot_be_written_is_the_platforms_fault(tmp_path):
    (tmp_path / "store").write_text("a file")
    with (
        pytest.raises(PlatformFault, match="store failed"),
        Store(tmp_path / "store", 1).wheel("w", filler("x")),
    ):
        pass
