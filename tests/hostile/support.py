"""A host to attack: things on it that no run may see, and the facts that attacks are told."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTACKS = Path(__file__).parent / "attacks"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def readable_copy(folder: Path) -> Path:
    """The attacks, where any uid can read them, with a file that they try to change."""
    folder.mkdir()
    shutil.copytree(ATTACKS, folder / "attacks", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "victim").write_text("untouched")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@dataclass
class Host:
    """Facts about this host, true while the context it was made in lasts."""

    facts: dict[str, Any]
    environ: dict[str, str]


@contextlib.contextmanager
def attackable(folder: Path) -> Iterator[Host]:
    """Files, sockets, a service and a process on this host, all named in the facts."""
    name = uuid.uuid4().hex
    (folder / "host-file").write_text("the host's")
    (folder / "lock").touch()
    command = [sys.executable, "-c", "input()", f"marker-{name}"]
    secrets = {"DJANGO_SECRET_KEY": f"secret-{name}", "HTTPS_PROXY": f"http://u:secret-{name}@p"}
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            neighbour_port = free.getsockname()[1]
        path = str(folder / "socket")
        for address in (f"\0abstract-{name}", path):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
        process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
        stack.callback(process.kill)
        facts = {
            "secret": f"secret-{name}",
            "marker": f"marker-{name}",
            "host_pid": process.pid,
            "host_file": str(folder / "host-file"),
            "lock": str(folder / "lock"),
            "state": str(folder),
            "unix_socket": path,
            "abstract": f"abstract-{name}",
            "port": service.getsockname()[1],
            "neighbour": f"neighbour-{name}",
            "neighbour_port": neighbour_port,
            "shm_key": int(name[:7], 16),
            "hostname": socket.gethostname(),
            "ns": {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in NAMESPACES},
        }
        yield Host(facts, os.environ | secrets)
