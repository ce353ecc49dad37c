"""Memory, processes, processor, disk."""

import pytest

from graders.sandbox import EndReason

BOMB = "hog = []\nwhile True: hog.append(bytearray(8 << 20))"


def test_a_memory_bomb_is_out_of_memory(run_python):
    _, ending = run_python(BOMB, memory_mb=96)
    assert ending.reason is EndReason.OUT_OF_MEMORY


def test_a_childs_memory_bomb_counts_though_its_parent_exits_well(run_python):
    code = f"""
import subprocess, sys
child = subprocess.run([sys.executable, "-c", {BOMB!r}])
print(child.returncode)
"""
    said, ending = run_python(code, memory_mb=96)
    assert said == "-9\n"
    assert ending.reason is EndReason.OUT_OF_MEMORY


def test_files_in_tmp_count_as_memory(run_python):
    code = "f = open('/tmp/f', 'wb')\nfor _ in range(60): f.write(b'x' * (1 << 20))"
    _, ending = run_python(code, memory_mb=40)
    assert ending.reason is EndReason.OUT_OF_MEMORY


def test_peak_memory_is_measured(run_python):
    code = "import time; hog = bytearray(64 << 20); print(1, flush=True); time.sleep(.3); print(2)"
    _, ending = run_python(code)
    assert ending.peak_memory_mb is not None
    assert 64 <= ending.peak_memory_mb < 128


def test_a_fork_bomb_is_bounded(answer):
    code = """
import os, time
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
os._exit(0)
"""
    assert 5 < int(answer(code, pids=32)) < 32


def test_a_thread_bomb_is_bounded(answer):
    code = """
import threading, time, os
made = 0
try:
    while made < 1000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(made, flush=True)
os._exit(0)
"""
    assert 5 < int(answer(code, pids=32)) < 32


def test_processor_time_is_shared_out(answer):
    code = """
import time
wall, used = time.monotonic(), time.process_time()
while time.monotonic() - wall < 2: pass
print((time.process_time() - used) / 2)
"""
    assert float(answer(code, cpus=0.25)) < 0.45


def test_tmp_is_bounded_in_bytes_and_inodes_and_refuses_programs(answer):
    code = """
import errno, os, shutil, sys
assert os.getcwd() == "/tmp"
with open("/tmp/ok", "w") as f: f.write("fine")
shutil.copy(os.path.realpath(sys.executable), "/tmp/python")
os.chmod("/tmp/python", 0o755)
try:
    os.execv("/tmp/python", ["python", "-c", "print('ran')"])
except PermissionError:
    print("noexec")
def fill():
    with open("/tmp/big", "wb") as f:
        while True: f.write(b"x" * 65536)
def crowd():
    for i in range(100000): open(f"/tmp/{i}", "w").close()
for attempt in (fill, crowd):
    try:
        attempt()
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    said = answer(code, tmp_mb=24).split()
    assert said[0] == "noexec"
    assert said[1] in ("ENOSPC", "EFBIG")
    assert said[2] == "ENOSPC"


def test_shared_memory_is_bounded(answer):
    code = """
import errno
try:
    with open("/dev/shm/big", "wb") as f:
        while True: f.write(b"x" * 65536)
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert answer(code) == "ENOSPC"


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOFILE", 256), ("CORE", 0), ("MEMLOCK", 65536), ("MSGQUEUE", 0), ("FSIZE", 64 << 20)],
)
def test_resource_limits(answer, name, value):
    code = f"import resource; print(*resource.getrlimit(resource.RLIMIT_{name}))"
    assert answer(code) == f"{value} {value}"


def test_what_sockets_hold_is_bounded(answer):
    code = """
import socket
receivers = []
for _ in range(60):
    receivers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    receivers[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    receivers[-1].bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setblocking(False)
    for _ in range(1000):
        try:
            sender.sendto(b"x" * 60000, receivers[-1].getsockname())
        except OSError:
            break
    sender.close()
held = [line.split() for line in open("/proc/net/sockstat") if line.startswith("UDP:")]
print(int(held[0][-1]) * 4096 >> 20)
"""
    assert int(answer(code, memory_mb=128)) < 64


def test_shared_memory_holds_few_files(answer):
    code = """
import errno
try:
    for i in range(100000): open(f"/dev/shm/{i}", "w").close()
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert answer(code) == "ENOSPC"
