"""The small tree that bubblewrap shows as `/`: an interpreter and what it needs, nothing else.

TREE/root/usr/bin/python3      the interpreter, python as well
TREE/root/usr/lib/python3.X    its standard library, without tests, GUI and site-packages
TREE/root/usr/include          its C headers, for builds
TREE/root/...                  its loader and shared objects, and those numeric wheels expect
TREE/tool/                     bwrap with its own loader and libraries, never shown inside
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from graders.sandbox import elf
from graders.sandbox.interpreters import Interpreter

RECIPE = 4  # raise it when the tree's content changes
SKIPPED = {
    "site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "tkinter",
    "turtledemo", "turtle.py", "ensurepip", "lib2to3", "pydoc_data",
}  # fmt: skip
SKIPPED_MODULES = ("_tkinter", "_test", "xxlimited")
# What manylinux wheels expect the system to have.
EXPECTED = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libz.so.1", "libm.so.6",
            "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")  # fmt: skip
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/tmp:/bin/false\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost env\n::1 localhost\n",
}


@dataclass(frozen=True)
class Tree:
    """A finished tree. `bwrap` is the command line that runs bubblewrap from `TREE/tool`."""

    path: Path
    tops: tuple[str, ...]

    def bwrap(self, tool: str) -> list[str]:
        """How to run bwrap when `TREE/tool` is seen at `tool`."""
        if (self.path / "tool/ld.so").exists():
            return [f"{tool}/ld.so", "--library-path", tool, f"{tool}/bwrap"]
        return [f"{tool}/bwrap"]


def ensure(state_dir: Path, bwrap: Path, python: Interpreter) -> Tree:
    """The tree for an interpreter and a bwrap, made now if it is not there.

    Several processes may ask at once: one makes it under a lock, the rest wait. Raises OSError, or
    ValueError where the interpreter is of a kind that cannot be packed.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    final = state_dir / f"rootfs-{python.version}-{_digest(bwrap, python)}"
    with (state_dir / "rootfs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            _make(final, bwrap, python)
    return Tree(final, tuple(sorted(path.name for path in (final / "root").iterdir())))


def _digest(bwrap: Path, python: Interpreter) -> str:
    facts: list[object] = [RECIPE, python]
    for path in (python.executable, python.libraries[0] / "sysconfig.py", bwrap.resolve()):
        if path.exists():
            status = path.stat()
            facts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _make(final: Path, bwrap: Path, python: Interpreter) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="rootfs-making-", dir=final.parent))
    try:
        scratch.chmod(0o755)
        _fill_root(scratch / "root", python)
        _fill_tool(scratch / "tool", bwrap.resolve())
        scratch.rename(final)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _fill_root(root: Path, python: Interpreter) -> None:
    name = f"python{python.minor}"
    _place(python.executable, root / "usr/bin" / name)
    for alias in ("python3", "python"):  # the second for tools that run what a model wrote
        (root / "usr/bin" / alias).symlink_to(name)
    for folder in (*python.libraries, *python.headers):
        _copy_library(folder, root / "usr" / folder.relative_to(python.prefix))
    interpreter = elf.loader(python.executable)
    if interpreter is not None:
        _copy_objects(root, python.executable, interpreter)
    (root / "etc").mkdir()
    for file, text in ACCOUNTS.items():
        (root / "etc" / file).write_text(text)
        (root / "etc" / file).chmod(0o644)
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _copy_library(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        unwanted = path.name in SKIPPED or path.name.startswith(("config-", *SKIPPED_MODULES))
        if unwanted or (path.is_symlink() and not path.exists()):
            continue
        if path.is_dir():
            _copy_library(path, target / path.name)
        else:
            _place(path.resolve(), target / path.name)


def _copy_objects(root: Path, python: Path, interpreter: Path) -> None:
    """Every object goes beside libc, a folder that its loader always searches."""
    objects = elf.needed(python, interpreter)
    for module in (root / "usr").rglob("*.so"):
        objects = elf.needed(module, interpreter) | objects
    folder = next(path.parent for name, path in objects.items() if name.startswith("libc."))
    for name in EXPECTED:
        if (folder / name).exists():
            found = elf.needed(folder / name, interpreter)
            objects = found | {name: folder / name} | objects
    for name, path in objects.items():
        _place(path.resolve(), root / folder.relative_to("/") / name)
    _place(interpreter.resolve(), root / interpreter.relative_to("/"))


def _fill_tool(tool: Path, bwrap: Path) -> None:
    tool.mkdir()
    tool.chmod(0o755)  # whatever the umask
    _place(bwrap, tool / "bwrap")
    interpreter = elf.loader(bwrap)
    if interpreter is None:
        return
    _place(interpreter.resolve(), tool / "ld.so")
    for name, path in elf.needed(bwrap, interpreter).items():
        _place(path.resolve(), tool / name)


def _place(source: Path, target: Path) -> None:
    """Link or copy a file so that any uid may read it; what is there already stays."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = source.stat().st_mode
    if mode & 0o004 and mode & 0o6022 == 0:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system, or a kernel that forbids linking others' files: copy
    shutil.copy2(source, target)
    target.chmod(0o755 if mode & 0o111 else 0o644)
