"""Runs in fresh, hardened Docker containers.

Containers are removed by the run itself, not by `--rm`: what the kernel killed for want of memory
is only known from the container's state after its end. What a dead worker leaves is reaped by
label, and by name when its slot is taken again.
"""

import contextlib
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread, Timer
from typing import Any

from docker.api import APIClient
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import Mount as BindMount
from docker.types import Ulimit
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from graders.sandbox import hidden, host, seccomp
from graders.sandbox.base import (
    BASE_ENV,
    SHM_FILES,
    SHM_MB,
    Limits,
    Running,
    Sandbox,
    SandboxUnavailable,
    Shortfall,
    Spec,
)
from graders.sandbox.cgroups import (
    UNCOUNTED_SOCKETS,
    bound_sockets,
    hierarchies,
    peak_mb,
    remove_abandoned,
    sockets_count,
)
from graders.sandbox.probe import ask_python, check_readable
from graders.sandbox.run import Outcome, Run
from graders.sandbox.slots import Slot, Slots
from graders.sandbox.streams import Demultiplexer

OWNER = "practicum"
API_SECONDS = 30
PARENT = "hub"  # of the containers' control groups
GROUP_GRACE = 60.0  # seconds that an empty control group may wait for its container
EXPIRY_GRACE = 60.0  # seconds past a run's own limit before it counts as orphaned
SAMPLE_SECONDS = 0.05
UNREAD_SECONDS = 0.5  # that the last output of a killed container waits for its reader
HIDDEN = ["/sys", *hidden.FILES, *hidden.FOLDERS]
FAILURES = (DockerException, RequestException)


class Docker(Sandbox):
    """The Docker driver, for a daemon of this machine.

    `image` is a tag, resolved once to the image's id. `runtime` names another OCI runtime of the
    daemon, such as gVisor's "runsc". Raises SandboxUnavailable where it cannot run at all.
    """

    name = "docker"

    def __init__(self, image: str, state_dir: Path, runtime: str | None = None) -> None:
        self._slots = Slots(state_dir)
        self._runtime = runtime
        try:
            self._api = APIClient(**kwargs_from_env(), version="auto", timeout=API_SECONDS)
            self._info: dict[str, Any] = self._api.info()
            self._image: str = self._api.inspect_image(image)["Id"]
            self._seccomp = seccomp.docker_profile(self._info["Architecture"])
        except ImageNotFound:
            raise SandboxUnavailable(
                f"Docker has no image {image!r}: build it with docker/sandbox/build.sh"
            ) from None
        except (*FAILURES, ValueError) as error:
            raise SandboxUnavailable(f"no Docker daemon can be used: {error}") from error
        if runtime is not None and runtime not in self._info["Runtimes"]:
            raise SandboxUnavailable(f"Docker has no runtime {runtime!r}: add it to daemon.json")
        self._systemd = self._info.get("CgroupDriver") == "systemd"

    @cached_property
    def python(self) -> str:
        return ask_python(self, f"check `docker run {self._image}` and the daemon's log")

    def start(self, spec: Spec) -> Running:
        check_readable(spec)
        slot = self._slots.take()
        name = f"{OWNER}-{self._slots.owner}-{slot.number}"
        created = ""
        try:
            with contextlib.suppress(NotFound):
                self._discard(self._api.inspect_container(name)["Id"])
            created = self._create(name, spec, slot)
            memory = self._memory_folder(created)
            if memory is not None and not self._systemd:
                bound_sockets(memory)
            return DockerRun(self._api, created, spec.limits, slot, memory)
        except BaseException as error:
            if created:
                self._discard(created)
            slot.release()
            if isinstance(error, FAILURES):
                raise SandboxUnavailable(f"Docker could not start the run: {error}") from error
            raise

    def shortfalls(self) -> list[Shortfall]:
        needs = {
            "MemoryLimit": "memory is not limited",
            "SwapLimit": "swap is not limited, so a run may use more than its memory",
            "PidsLimit": "the number of processes is not limited",
            "CpuCfsQuota": "processor time is not limited",
        }
        found = [
            Shortfall(f"Docker says {what}", "enable that cgroup controller")
            for key, what in needs.items()
            if not self._info.get(key)
        ]
        if not any("seccomp" in option for option in self._info.get("SecurityOptions") or []):
            found.append(
                Shortfall("Docker says system calls are not filtered", "use a kernel with seccomp")
            )
        # Where systemd makes the cgroups, none can be made before a run starts.
        if self._info.get("CgroupVersion") == "1" and (
            self._systemd or not sockets_count(hierarchies())
        ):
            found.append(UNCOUNTED_SOCKETS)
        return found + host.shortfalls(self._slots.uids)

    def reap(self, max_age: float) -> int:
        try:
            label = {"label": f"hub.owner={OWNER}"}
            removed = sum(
                self._reap_one(found, max_age)
                for found in self._api.containers(all=True, filters=label)
            )
            known = {found["Id"] for found in self._api.containers(all=True)}
            return removed + remove_abandoned(PARENT, known, GROUP_GRACE)
        except FAILURES as error:
            raise SandboxUnavailable(f"Docker cannot be asked for orphans: {error}") from error

    def _reap_one(self, found: dict[str, Any], max_age: float) -> bool:
        labels, now = found["Labels"], time.time()
        ours = labels["hub.state"] == self._slots.owner
        late = now > float(labels["hub.expires"])
        # Another installation's runs are only judged by their own limit.
        late = late or (ours and now - found["Created"] > max_age)
        slot = self._slots.try_take(int(labels["hub.slot"])) if ours else None
        if late or slot is not None:
            self._discard(found["Id"])
        if slot is not None:
            slot.release()
        return late or slot is not None

    def _discard(self, container: str) -> None:
        """Remove a container, and what was made for it if it never started."""
        _remove(self._api, container)
        memory = self._memory_folder(container)
        if memory is not None:
            with contextlib.suppress(OSError):
                memory.rmdir()

    def _create(self, name: str, spec: Spec, slot: Slot) -> str:
        env = BASE_ENV | dict(spec.env)
        created = self._api.create_container(
            self._image,
            entrypoint=list(spec.argv),
            name=name,
            hostname="env",
            user=f"{slot.uid}:{slot.uid}",
            working_dir="/tmp",  # noqa: S108
            environment=[f"{key}={value}" for key, value in env.items()],
            stdin_open=True,
            network_disabled=True,
            healthcheck={"test": ["NONE"]},
            stop_timeout=1,
            use_config_proxy=False,  # its proxy's address may carry a password
            labels={
                "hub.job": spec.job,
                "hub.owner": OWNER,
                "hub.state": self._slots.owner,
                "hub.slot": str(slot.number),
                "hub.expires": str(time.time() + spec.limits.seconds + EXPIRY_GRACE),
            },
            # The SDK has no word for the last.
            host_config=self._api.create_host_config(**self._host(spec)) | {"MaskedPaths": HIDDEN},
        )
        return str(created["Id"])

    def _host(self, spec: Spec) -> dict[str, Any]:
        limits = spec.limits
        scratch = "rw,noexec,nosuid,nodev,mode=1777"
        return {
            "init": True,
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true", f"seccomp={self._seccomp}"],
            "pids_limit": limits.pids,
            "mem_limit": limits.memory_mb << 20,
            "memswap_limit": limits.memory_mb << 20,
            "nano_cpus": int(limits.cpus * 1e9) if self._info.get("CpuCfsQuota") else None,
            "cgroup_parent": "hub.slice" if self._systemd else f"/{PARENT}",
            "ulimits": _ulimits(limits),
            "tmpfs": {
                "/tmp": f"{scratch},size={limits.tmp_mb}m,nr_inodes={limits.tmp_files}",  # noqa: S108
                "/dev/shm": f"{scratch},size={SHM_MB}m,nr_inodes={SHM_FILES}",  # noqa: S108
            },
            "ipc_mode": "private",
            "cgroupns": "private",
            "log_config": {"Type": "none"},
            "oom_score_adj": 500,
            "runtime": self._runtime,
            "mounts": [
                BindMount(mount.target, str(mount.source.resolve()), type="bind", read_only=True)
                for mount in spec.mounts
            ],
        }

    def _memory_folder(self, container: str) -> Path | None:
        """The container's memory cgroup where this process can see it."""
        inside = f"hub.slice/docker-{container}.scope" if self._systemd else f"{PARENT}/{container}"
        for tree in hierarchies():
            if "memory" in tree.controllers:
                return tree.mount / inside
        return None


def _ulimits(limits: Limits) -> list[Ulimit]:
    wanted = {
        "nofile": 256,
        "fsize": limits.tmp_mb << 20,
        "core": 0,
        "memlock": 65536,
        "msgqueue": 0,
    }
    return [Ulimit(name=name, soft=value, hard=value) for name, value in wanted.items()]


def _remove(api: Any, container: str) -> None:
    """Remove it if the daemon lets us; if not, the next reaper finds it."""
    with contextlib.suppress(*FAILURES):
        api.remove_container(container, force=True, v=True)


@dataclass
class _Peak:
    """The highest memory use seen, read from the container's cgroup while it lives."""

    folder: Path | None
    seen: float | None = None
    at: float = 0.0

    def sample(self) -> None:
        now = time.monotonic()
        if self.folder is not None and now - self.at >= SAMPLE_SECONDS:
            self.at = now
            self.seen = peak_mb(self.folder) or self.seen


class DockerRun(Run):
    """One container: a thread waits for its end, another looks at its memory."""

    def __init__(
        self, api: Any, container: str, limits: Limits, slot: Slot, memory: Path | None
    ) -> None:
        super().__init__(limits)
        self._api = api
        self._id = container
        self._slot = slot
        self._peak = _Peak(memory)
        self._lost = ""
        flags = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        self._attached = api.attach_socket(container, params=flags)
        # A socket of our own: the SDK's wrapper can only read.
        self._socket = socket.socket(fileno=socket.dup(self._attached.fileno()))
        self._socket.settimeout(None)
        self.source = self.sink = self._socket.fileno()
        self._output = Demultiplexer()
        try:
            api.start(container)
        except BaseException:
            self._hang_up()
            raise
        Thread(target=self._watch, daemon=True).start()
        if memory is not None:
            Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._peak.sample()

    def _read(self, n: int) -> bytes | None:
        self._peak.sample()
        try:
            data = self._socket.recv(n, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not data:
            return b""
        stdout, stderr = self._output.split(data)
        self._stderr.add(stderr)
        return stdout or None

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _destroy(self) -> None:
        self._peak.sample()
        # The daemon waits until somebody reads what is left.
        reader = Timer(UNREAD_SECONDS, self._drop_output)
        reader.start()
        with contextlib.suppress(*FAILURES):
            self._api.kill(self._id)
        reader.cancel()
        self._end_input()  # wakes a send that nobody reads

    def _await_end(self, timeout: float) -> bool:
        try:
            self._api.wait(self._id, timeout=max(timeout, 0.001))
        except FAILURES as error:
            if "timed out" in str(error):
                return False
            self._lost = f"Docker lost the container: {error}"
        self._end_input()
        return True

    def _collect(self) -> Outcome:
        self._hang_up()
        code, oom = None, False
        try:
            state = self._api.inspect_container(self._id)["State"]
            oom = state["OOMKilled"]
            if not state["Running"]:
                code = int(state["ExitCode"])
        except FAILURES as error:
            self._lost = self._lost or f"Docker lost the container: {error}"
        _remove(self._api, self._id)
        self._slot.release()
        return Outcome(code, oom, self._peak.seen, self._lost)

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._attached._response.close()  # the SDK hangs the connection there
