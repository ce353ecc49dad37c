"""Filling the store's disk, uploading one thing many times at once, killing the site."""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

from tests.faults import processes
from tests.faults.clients import ACCEPTED, Upload
from tests.faults.scene import Scene

CLIENTS = 20
PART = 4 << 20  # bytes by which a balloon grows
LITTLE = 1 << 20  # bytes that a nearly full disk has left
CALM_S = 60.0


def store_full(scene: Scene) -> str:
    """The store's disk is full, then nearly full, while people upload."""
    media = scene.world.paths.media
    _calm(scene)
    small = [scene.in_somebodys_name(scene.maker.one()) for _ in range(4)]
    large = [scene.in_somebodys_name(scene.maker.one(large=True)) for _ in range(2)]
    with _Balloon(media, leave=0):
        statuses = _at_once(scene, [*small, *large])
        _expect_nothing_kept(scene, [*small, *large], statuses)
    with _Balloon(media, leave=LITTLE):
        again = _at_once(scene, large)
        _expect_nothing_kept(scene, large, again)
    scene.crowd.release([*small, *large])
    return f"{[*statuses, *again].count(507)} times 507"


def temporary_folder_full(scene: Scene) -> str:
    """The disk on which uploads arrive is full."""
    _calm(scene)
    large = [scene.in_somebodys_name(scene.maker.one(large=True)) for _ in range(2)]
    work = scene.world.paths.work
    before = {*work.glob("*.upload*")}  # of a site that was killed
    with _Balloon(work, leave=LITTLE):
        statuses = _at_once(scene, large)
        _expect_nothing_kept(scene, large, statuses)
    gone = scene.wait(lambda: {*work.glob("*.upload*")} <= before, 3)
    scene.expect(gone, "Half an upload is left of one that was refused.")
    scene.crowd.release(large)
    return f"{statuses.count(507)} times 507"


def one_version_at_once(scene: Scene) -> str:
    """Twenty clients upload the same bytes in the same moment."""
    _calm(scene)
    upload = scene.in_somebodys_name(scene.maker.one())
    statuses = _at_once(scene, [upload] * CLIENTS)
    expected = [200] * (CLIENTS - 1) + [201]
    scene.expect(sorted(statuses) == expected, f"Twenty times the same bytes: {sorted(statuses)}")
    return "one 201, the others 200" if sorted(statuses) == expected else str(sorted(statuses))


def one_number_at_once(scene: Scene) -> str:
    """Twenty clients upload different bytes under one number in the same moment."""
    _calm(scene)
    first = scene.in_somebodys_name(scene.maker.one())
    name = first.package.name
    others = [Upload(first.owner, scene.maker.version(name)) for _ in range(CLIENTS - 1)]
    uploads = [first, *others]
    statuses = _at_once(scene, uploads)
    scene.known.remove(first)
    answers = zip(uploads, statuses, strict=True)
    scene.known += [upload for upload, status in answers if status in ACCEPTED]
    expected = [201] + [409] * (CLIENTS - 1)
    scene.expect(sorted(statuses) == expected, f"Twenty different: {sorted(statuses)}")
    return "one 201, the others 409" if sorted(statuses) == expected else str(sorted(statuses))


def double_click(scene: Scene) -> str:
    """Somebody uploads twice within milliseconds."""
    _calm(scene)
    upload = scene.in_somebodys_name(scene.maker.one())
    statuses = _at_once(scene, [upload, upload])
    scene.expect(sorted(statuses) == [200, 201], f"A double click: {sorted(statuses)}")
    return f"{min(statuses)} and {max(statuses)}"


def site_killed(scene: Scene) -> str:
    """The site dies while an upload arrives; the client tries again."""
    world = scene.world
    upload = scene.in_somebodys_name(scene.maker.one(large=True))
    client = threading.Thread(target=scene.site.begin, args=(upload, 2.0))
    client.start()
    world.pause(scene.random.uniform(0.5, 2.2))
    main = processes.main_of("hub.wsgi:application")
    assert main is not None, "the site is not up"
    left = len(list(world.paths.work.glob("*.upload*")))
    processes.send(signal.SIGKILL, processes.tree_of(main))
    client.join()
    scene.expect(_calm(scene), "The site did not come back.")
    scene.crowd.release([upload])
    return "left a temporary file" if left else "left nothing"


def _calm(scene: Scene) -> bool:
    """Waits until uploads can succeed; what follows is judged strictly."""
    needed = [scene.world.programs[name].program for name in ("postgres", "valkey", "site")]
    return scene.wait(lambda: all(program.ready() for program in needed), CALM_S)


def _at_once(scene: Scene, uploads: list[Upload]) -> list[int]:
    """Uploads all in the same moment, each once, and counts the answers."""
    statuses = scene.site.at_once(uploads)
    for upload, status in zip(uploads, statuses, strict=True):
        scene.crowd.note(upload, status)
    return statuses


def _expect_nothing_kept(scene: Scene, uploads: list[Upload], statuses: list[int]) -> None:
    """An upload that was not accepted left neither a row nor a file."""
    for upload, status in zip(uploads, statuses, strict=True):
        digest = upload.package.sha256
        scene.expect(status in (200, 201, 507), f"On a full disk an upload got {status}.")
        if status in ACCEPTED:
            continue
        rows = scene.world.rows("SELECT 1 FROM environments_version WHERE sha256 = %s", digest)
        blob = scene.world.paths.media / "archives" / digest[:2] / digest
        scene.expect(not rows, f"{upload.package.name} was refused ({status}) and has a row.")
        scene.expect(not blob.exists(), f"{upload.package.name} was refused and is stored.")


class _Balloon:
    """A file that fills a small disk but for `leave` bytes."""

    def __init__(self, folder: Path, *, leave: int) -> None:
        self._path = folder / "balloon"
        self._leave = leave

    def __enter__(self) -> None:
        assert os.path.ismount(self._path.parent), "only a disk of the run's own is filled"
        with self._path.open("wb", buffering=0) as file:
            while (free := self._free() - self._leave) > 0:
                # Others write to this disk too: what was free a moment ago may be theirs by now.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), min(free, PART))

    def _free(self) -> int:
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_bsize

    def __exit__(self, *_: object) -> None:
        self._path.unlink()
