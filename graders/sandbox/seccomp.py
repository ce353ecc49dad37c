"""The system calls that contributed code may make: one list, for Docker and for bubblewrap.

An allowlist. Whatever is not named fails with EPERM: mounting, namespaces, tracing and reading
other processes, keyrings, io_uring, BPF, kernel modules, clocks, and calls not invented yet.
`clone3` fails with ENOSYS, because its flags lie in memory where a filter cannot look and the C
library then falls back to `clone`. A call made under another architecture's numbers kills.
"""

import errno
import json
import platform
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from graders.sandbox.syscalls import AUDIT_ARCH, NUMBERS

_ALWAYS = """
accept accept4 access alarm arch_prctl bind brk capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchown
fchownat fcntl fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync ftruncate futex
futex_waitv get_mempolicy get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl kill lchown lgetxattr link
linkat listen listxattr llistxattr lseek lstat madvise membarrier memfd_create mincore mkdir mkdirat
mlock mlock2 mmap mprotect mremap msync munlock munmap nanosleep newfstatat open openat openat2
pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl
pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv recvfrom recvmmsg recvmsg rename renameat renameat2 restart_syscall rmdir rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield select semctl semget semop semtimedop sendfile
sendmmsg sendmsg sendto set_robust_list set_tid_address setgid setgroups setitimer setpgid
setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid shmat shmctl
shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink symlinkat
sync_file_range sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink
unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
"""
ALWAYS = frozenset(_ALWAYS.split())

# The families 1, 2, 10 and 16: all of them end in a network namespace with only `lo`.
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = FAMILIES = (1, 2, 10, 16)
# The default, TCP, UDP: any other would have the host load that protocol's module.
INTERNET_PROTOCOLS = (0, 6, 17)
# Addresses and routes. Others tell about the host: uevents are sent to every network namespace.
NETLINK_ROUTE = 0
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
NAMESPACES = 0x7E020000


class Comparison(StrEnum):
    """How one argument is compared, by the name libseccomp gives it."""

    EQUAL = "SCMP_CMP_EQ"
    NO_BIT_OF = "SCMP_CMP_MASKED_EQ"


@dataclass(frozen=True)
class Test:
    """What argument `index` must be; all 64 bits of it are compared."""

    index: int
    comparison: Comparison
    value: int


@dataclass(frozen=True)
class Rule:
    """Allow `call` when every test passes; several rules of one call are an or."""

    call: str
    tests: tuple[Test, ...]


def _when(call: str, *values: tuple[int, int]) -> Rule:
    """Allow `call` when each (argument, value) is so."""
    return Rule(call, tuple(Test(index, Comparison.EQUAL, value) for index, value in values))


RULES = (
    _when("socket", (0, AF_UNIX)),
    *(
        _when("socket", (0, family), (2, protocol))
        for family in (AF_INET, AF_INET6)
        for protocol in INTERNET_PROTOCOLS
    ),
    _when("socket", (0, AF_NETLINK), (2, NETLINK_ROUTE)),
    _when("socketpair", (0, AF_UNIX)),
    Rule("clone", (Test(0, Comparison.NO_BIT_OF, NAMESPACES),)),
    _when("personality", (0, 0)),
)
NOT_THERE = ("clone3",)


def docker_profile(machine: str) -> str:
    """The list as Docker's seccomp JSON for `machine` ("x86_64" or "aarch64")."""
    check(machine)
    calls: list[dict[str, Any]] = [{"names": sorted(ALWAYS), "action": "SCMP_ACT_ALLOW"}]
    for rule in RULES:
        tests = [
            {"index": test.index, "op": test.comparison.value, "value": test.value, "valueTwo": 0}
            for test in rule.tests
        ]
        calls.append({"names": [rule.call], "action": "SCMP_ACT_ALLOW", "args": tests})
    calls.append(
        {"names": list(NOT_THERE), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    )
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [f"SCMP_ARCH_{machine.upper()}"],
        "syscalls": calls,
    }
    return json.dumps(profile)


def check(machine: str) -> None:
    """Raise ValueError where there are no system call numbers for `machine`."""
    if machine not in NUMBERS:
        raise ValueError(f"no system call list for {machine!r}; known: {', '.join(NUMBERS)}")


# Classic BPF over struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6]}, little-endian.
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
X32_BIT = 0x40000000


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def bpf(machine: str | None = None) -> bytes:
    """The list as a BPF program for bubblewrap's `--seccomp`; `machine` defaults to this one."""
    machine = machine or platform.machine()
    check(machine)
    numbers = NUMBERS[machine]
    program = [_op(LOAD, 4), _op(JUMP_EQUAL, AUDIT_ARCH[machine], yes=1), _op(RETURN, KILL_PROCESS)]
    program += [_op(LOAD, 0), _op(JUMP_AT_LEAST, X32_BIT, no=1), _op(RETURN, KILL_PROCESS)]
    for name in sorted(ALWAYS & numbers.keys()):
        program += [_op(JUMP_EQUAL, numbers[name], no=1), _op(RETURN, ALLOW)]
    for name in NOT_THERE:
        program += [_op(JUMP_EQUAL, numbers[name], no=1), _op(RETURN, ERRNO | errno.ENOSYS)]
    for rule in RULES:
        if rule.call in numbers:
            program += _rule(rule, numbers[rule.call])
    return b"".join([*program, _op(RETURN, ERRNO | errno.EPERM)])


def _rule(rule: Rule, number: int) -> list[bytes]:
    """Where a test fails the number is loaded again, for the rules that follow."""
    passed = [_op(RETURN, ALLOW)]
    for test in reversed(rule.tests):
        passed = _test(test, left=len(passed)) + passed
    body = [*passed, _op(LOAD, 0)]
    return [_op(JUMP_EQUAL, number, no=len(body)), *body]


def _test(test: Test, left: int) -> list[bytes]:
    """Compare both halves of an argument, jumping over the `left` operations that follow."""
    at, low, high = 16 + 8 * test.index, test.value & 0xFFFFFFFF, test.value >> 32
    if test.comparison is Comparison.EQUAL:
        return [
            *(_op(LOAD, at), _op(JUMP_EQUAL, low, no=left + 2)),
            *(_op(LOAD, at + 4), _op(JUMP_EQUAL, high, no=left)),
        ]
    return [
        *(_op(LOAD, at), _op(AND, low), _op(JUMP_EQUAL, 0, no=left + 3)),
        *(_op(LOAD, at + 4), _op(AND, high), _op(JUMP_EQUAL, 0, no=left)),
    ]
