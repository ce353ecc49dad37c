"""Processes: of the host, and of another run that goes on at the same time."""

import ctypes
import glob
import os
import resource
import socket
from functools import partial

from .harness import Facts, add, attack, libc


def _same(kind: str, facts: Facts) -> object:
    return os.readlink(f"/proc/self/ns/{kind}") == facts["ns"][kind]


for each in ("mnt", "pid", "ipc", "uts", "cgroup"):
    add(f"processes: same {each} namespace as the host", partial(_same, each))


def _running(words: str) -> list[str]:
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path) as file:
                if words in file.read():
                    found.append(path)
        except OSError:
            pass
    return found


@attack()
def see_a_process_of_the_host(facts: Facts) -> object:
    return _running(facts["marker"])


@attack()
def signal_a_process_of_the_host(facts: Facts) -> object:
    os.kill(facts["host_pid"], 0)
    return True


@attack()
def hold_a_process_of_the_host(facts: Facts) -> object:
    return os.pidfd_open(facts["host_pid"]) > 0


@attack()
def slow_a_process_of_the_host(facts: Facts) -> object:
    os.setpriority(os.PRIO_PROCESS, facts["host_pid"], 1)
    return True


@attack()
def limit_a_process_of_the_host(facts: Facts) -> object:
    return resource.prlimit(facts["host_pid"], resource.RLIMIT_NOFILE)


@attack()
def place_a_process_of_the_host(facts: Facts) -> object:
    return os.sched_getaffinity(facts["host_pid"])


@attack()
def see_another_run(facts: Facts) -> object:
    return _running(facts["neighbour"])


@attack()
def read_what_another_run_keeps_in_tmp(facts: Facts) -> object:
    with open(f"/tmp/{facts['neighbour']}") as file:
        return file.read()


@attack()
def read_what_another_run_keeps_in_shared_memory(facts: Facts) -> object:
    with open(f"/dev/shm/{facts['neighbour']}") as file:
        return file.read()


@attack()
def attach_the_memory_that_another_run_shares(facts: Facts) -> object:
    found = libc.shmget(facts["shm_key"], 0, 0)
    return found >= 0 and found + 1


@attack()
def take_the_semaphore_of_another_run(facts: Facts) -> object:
    found = libc.semget(facts["shm_key"], 0, 0)
    return found >= 0 and found + 1


@attack()
def connect_to_another_run(facts: Facts) -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{facts['neighbour']}")
        return True


@attack()
def connect_to_the_port_of_another_run(facts: Facts) -> object:
    return bool(socket.create_connection(("127.0.0.1", facts["neighbour_port"]), timeout=3))


@attack(outside=False)
def share_the_watches_of_another_run(_: Facts) -> object:
    """The neighbour has used all its inotify instances; they must not be ours too."""
    found = libc.inotify_init1(0)
    return found < 0 and os.strerror(ctypes.get_errno())
