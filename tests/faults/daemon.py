"""A Docker daemon of the fault run's own, which it may restart and kill; never the system's."""

import shutil
import subprocess
from pathlib import Path

from django.conf import settings
from docker.api import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from hub.stack.processes import Program

CONTAINERD = Path("/run/containerd")
LOAD_S = 120


class Daemon:
    """A daemon whose images, sockets and state lie in `folder`.

    It has to run in a mount namespace of its own: containerd's shims put their sockets where the
    system's do, so an empty folder is laid over that one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.host = f"unix://{folder}/docker.sock"

    def program(self) -> Program:
        folder = self._folder
        folder.mkdir()
        CONTAINERD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "faults", str(CONTAINERD)], check=True)
        places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
        places += [f"--pidfile={folder}/docker.pid", f"--host={self.host}"]
        network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        return Program(
            name="dockerd",
            label="Docker daemon of its own",
            command=["dockerd", "--storage-driver=overlay2", *places, *network],
            ready=self.answers,
            grace=20,
            restarts=True,
        )

    def load_image(self) -> None:
        """Copies the sandbox's image from the system's daemon, which is only read."""
        save = ["docker", "save", settings.SANDBOX_IMAGES[0]]
        load = ["docker", "--host", self.host, "load", "--quiet"]
        with subprocess.Popen(save, stdout=subprocess.PIPE) as saving:
            subprocess.run(
                load, stdin=saving.stdout, check=True, timeout=LOAD_S, capture_output=True
            )

    def answers(self) -> bool:
        try:
            return bool(self._client().ping())
        except (DockerException, RequestException):
            return False

    def containers(self) -> list[str]:
        """The ids of all containers, running or not."""
        return [container["Id"] for container in self._client().containers(all=True)]

    def _client(self) -> APIClient:
        return APIClient(base_url=self.host, timeout=5)


def is_there() -> bool:
    """Whether this machine has what a daemon needs, and an image to copy."""
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        return False
    asked = ["docker", "image", "inspect", settings.SANDBOX_IMAGES[0]]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0
