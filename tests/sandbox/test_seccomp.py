"""The system call list: what it refuses for real, and that both its forms agree."""

import errno
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.sandbox import seccomp
from graders.sandbox.syscalls import AUDIT_ARCH, NUMBERS

REFUSED = {
    "ptrace": (101, 0, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "unshare user": (272, 0x10000000),
    "unshare mount": (272, 0x20000),
    "setns": (308, 0, 0),
    "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone net": (56, 0x40000000 | 17, 0, 0, 0, 0),
    "keyctl": (250, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "io_uring_setup": (425, 1, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "personality": (135, 0x0040000),
    "kexec_load": (246, 0, 0, 0, 0),
    "AF_VSOCK": (41, 40, 1, 0),
    "AF_PACKET": (41, 17, 3, 0),
    "AF_ALG": (41, 38, 5, 0),
    "AF_KEY": (41, 15, 3, 2),
    "SCTP": (41, 2, 1, 132),
    "netlink uevents": (41, 16, 3, 15),
    "netlink audit": (41, 16, 3, 9),
    "socketpair inet": (53, 2, 1, 0, 0),
}


@pytest.mark.skipif(seccomp.platform.machine() != "x86_64", reason="numbers of x86-64")
def test_dangerous_calls_are_refused(answer):
    code = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, numbers))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "allowed"
for name, numbers in {REFUSED!r}.items():
    print(name, call(*numbers), sep=":")
print("clone3", call(435, 0, 0), sep=":")
for family in (1, 2, 10, 16):
    print(f"family {{family}}", call(41, family, 2 if family < 16 else 3, 0), sep=":")
"""
    said = dict(line.rsplit(":", 1) for line in answer(code).splitlines())
    assert said.pop("clone3") == "ENOSYS"
    for family in seccomp.FAMILIES:
        assert said.pop(f"family {family}") == "allowed"
    assert said == dict.fromkeys(REFUSED, "EPERM")


@pytest.mark.skipif(seccomp.platform.machine() != "x86_64", reason="machine code of x86-64")
@pytest.mark.parametrize(
    "machine_code",
    [b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", b"\xb8\x27\x00\x00\x40\x0f\x05\xc3"],
    ids=["getpid by int 0x80", "getpid by x32"],
)
def test_calls_of_another_architecture_kill(run_python, machine_code):
    code = f"""
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write({machine_code!r})
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)(), flush=True)
"""
    said, ending = run_python(code)
    assert said == "" or int(said) < 0
    assert ending.exit_code in (0, 128 + 31, 128 + 11)


def test_ordinary_work_is_not_refused(answer):
    code = """
import asyncio, concurrent.futures, hashlib, multiprocessing, os, random, select, signal, socket
import sqlite3, subprocess, sys, tempfile, threading, time, zoneinfo, ctypes, mmap, json, decimal
def square(x): return x * x
async def nap():
    await asyncio.sleep(0.01)
    return await asyncio.to_thread(square, 3)
assert asyncio.run(nap()) == 9
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(square, range(4)) == [0, 1, 4, 9]
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout == b"1\\n"
with tempfile.TemporaryDirectory() as folder:
    base = sqlite3.connect(os.path.join(folder, "x.db"))
    base.execute("create table t (n int)")
    base.commit()
signal.setitimer(signal.ITIMER_REAL, 0)
os.urandom(8), os.sched_getaffinity(0), os.nice(1), os.uname(), time.process_time()
print("fine")
"""
    assert answer(code) == "fine"


def decide(program: bytes, arch: int, number: int, args: list[int]) -> int:
    """Run the five classic BPF operations that the program uses."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *args)
    at = accumulator = 0
    while True:
        code, yes, no, value = struct.unpack_from("<HBBI", program, at * 8)
        at += 1
        if code == seccomp.RETURN:
            return value
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == seccomp.AND:
            accumulator &= value
        elif code == seccomp.JUMP_EQUAL:
            at += yes if accumulator == value else no
        elif code == seccomp.JUMP_AT_LEAST:
            at += yes if accumulator >= value else no
        else:
            raise AssertionError(hex(code))


def docker_says(profile: dict, name: str, args: list[int]) -> int:
    for entry in profile["syscalls"]:
        if name not in entry["names"]:
            continue
        tests = entry.get("args", [])
        passed = all(
            args[t["index"]] == t["value"]
            if t["op"] == "SCMP_CMP_EQ"
            else args[t["index"]] & t["value"] == t["valueTwo"]
            for t in tests
        )
        if passed and entry["action"] == "SCMP_ACT_ERRNO":
            return seccomp.ERRNO | entry["errnoRet"]
        if passed:
            return seccomp.ALLOW
    return seccomp.ERRNO | errno.EPERM


words = st.one_of(
    st.sampled_from([0, 1, 2, 3, 6, 10, 15, 16, 17, 38, 40, 1 << 32, (1 << 32) | 2]),
    st.integers(0, 33).map(lambda bit: 1 << bit),
    st.integers(0, 2**64 - 1),
)


@pytest.mark.parametrize("machine", sorted(NUMBERS))
@given(args=st.lists(words, min_size=6, max_size=6), offset=st.integers(0, 500))
def test_both_forms_of_the_list_agree(machine, args, offset):
    program, profile = seccomp.bpf(machine), json.loads(seccomp.docker_profile(machine))
    arch, numbers = AUDIT_ARCH[machine], NUMBERS[machine]
    names = {number: name for name, number in numbers.items()}
    special = [numbers[r.call] for r in seccomp.RULES if r.call in numbers]
    for number in {offset, *special, numbers["clone3"]}:
        wanted = docker_says(profile, names.get(number, "unknown"), args)
        assert decide(program, arch, number, args) == wanted, (names.get(number), args)
    assert decide(program, arch ^ 1, offset, args) == seccomp.KILL_PROCESS
    assert decide(program, arch, offset | 0x40000000, args) == seccomp.KILL_PROCESS


def test_the_program_fits_the_kernels_limit():
    assert all(len(seccomp.bpf(machine)) // 8 <= 4096 for machine in NUMBERS)


def test_an_unknown_machine_is_refused():
    with pytest.raises(ValueError, match="no system call list for 's390x'"):
        seccomp.bpf("s390x")
