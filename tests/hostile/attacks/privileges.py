"""Privileges: taking those that were given up, and limits that were lowered."""

import ctypes
import os
import resource
from functools import partial

from .harness import Facts, add, attack, libc

LIMITS = ("NOFILE", "FSIZE", "CORE", "MEMLOCK", "MSGQUEUE")
PR_CAPBSET_READ, PR_SET_SECUREBITS, PR_SET_MM = 23, 28, 35


def _status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return dict(line.split(":", 1) for line in file)


def _raise(limit: str, _: Facts) -> object:
    number = getattr(resource, f"RLIMIT_{limit}")
    hard = resource.getrlimit(number)[1]
    if hard == resource.RLIM_INFINITY:
        return "it is without a limit"
    try:
        resource.setrlimit(number, (hard, hard + 1))
    except ValueError as error:
        raise PermissionError(str(error)) from error
    return True


for each in LIMITS:
    add(f"privileges: raise the limit {each}", partial(_raise, each), may_lack=True)


@attack()
def become_root(_: Facts) -> object:
    os.setuid(0)
    return True


@attack()
def become_root_in_effect(_: Facts) -> object:
    os.setresuid(-1, 0, -1)
    return True


@attack()
def join_the_group_of_root(_: Facts) -> object:
    os.setgid(0)
    return True


@attack()
def join_more_groups(_: Facts) -> object:
    os.setgroups([0, 1])
    return True


@attack()
def be_another_slot(_: Facts) -> object:
    os.setuid(os.getuid() + 1)
    return True


@attack()
def be_root_already(_: Facts) -> object:
    ids = {*os.getresuid(), *os.getresgid(), *os.getgroups()}
    return 0 in ids or min(ids) < 1000


@attack()
def hold_capabilities(_: Facts) -> object:
    status = _status()
    return [
        which for which in ("Inh", "Prm", "Eff", "Bnd", "Amb") if int(status[f"Cap{which}"], 16)
    ]


@attack()
def keep_capabilities_in_bounds(_: Facts) -> object:
    return [number for number in range(41) if libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1]


@attack()
def take_capabilities(_: Facts) -> object:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(1 << 21, 1 << 21, 0, 0, 0, 0)  # CAP_SYS_ADMIN
    return libc.capset(header, wanted) == 0


@attack()
def gain_privileges_by_running_a_program(_: Facts) -> object:
    return int(_status()["NoNewPrivs"]) != 1


@attack()
def make_calls_unfiltered(_: Facts) -> object:
    return int(_status()["Seccomp"]) != 2


@attack()
def set_secure_bits(_: Facts) -> object:
    return libc.prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0


@attack(may_lack=True)
def rewrite_the_map_of_memory(_: Facts) -> object:
    libc.prctl(PR_SET_MM, 99, 0, 0, 0)
    code = ctypes.get_errno()
    if code == 1:
        raise PermissionError(code, "refused")
    return f"reached the kernel: {code}"


@attack()
def run_before_others(_: Facts) -> object:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True


@attack(may_lack=True)
def run_in_real_time(_: Facts) -> object:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


@attack()
def lock_much_memory(_: Facts) -> object:
    page = ctypes.create_string_buffer(1 << 20)
    return libc.mlock(page, len(page)) == 0
