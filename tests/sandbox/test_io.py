"""Standard input, output and error, and the ways a run ends."""

import contextlib
import threading
import time

import pytest

from graders.sandbox import EndReason, SandboxGone, Spec

from .support import spec

ECHO = """
import sys
while head := sys.stdin.buffer.read(4):
    body = sys.stdin.buffer.read(int.from_bytes(head, "big"))
    sys.stdout.buffer.write(head + body)
    sys.stdout.buffer.flush()
"""
SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def read_exactly(running, n):
    data = b""
    while len(data) < n:
        part = running.receive(n - len(data))
        assert part, "output ended early"
        data += part
    return data


def test_frames_go_there_and_back(sandbox):
    bodies = [b"", b"x", bytes(range(256)) * 16, b"\n\0" * 500_000]
    with sandbox.start(spec(ECHO)) as running:
        for body in bodies:
            frame = len(body).to_bytes(4, "big") + body
            sender = threading.Thread(target=running.send, args=(frame,))
            sender.start()
            assert read_exactly(running, len(frame)) == frame
            sender.join()
        running.close_input()
        assert running.receive() == b""
        ending = running.wait()
    assert (ending.reason, ending.exit_code) == (EndReason.EXITED, 0)
    assert 0 < ending.seconds < 30


def test_wait_gives_the_same_answer_each_time(sandbox):
    running = sandbox.start(spec("import sys; print('unread'); sys.exit(7)"))
    first = running.wait()
    assert (first.reason, first.exit_code) == (EndReason.EXITED, 7)
    running.kill()
    assert running.wait() is first
    with pytest.raises(SandboxGone):
        running.send(b"late")


def test_death_by_a_signal_is_128_and_its_number(run_python):
    _, ending = run_python("import os; os.kill(os.getpid(), 15)")
    assert (ending.reason, ending.exit_code) == (EndReason.EXITED, 143)


def test_a_missing_command_is_named(sandbox):
    with sandbox.start(Spec("test-job", ("no-such-command",))) as running:
        ending = running.wait()
    assert ending.exit_code != 0
    assert "no-such-command" in ending.stderr


def test_a_run_outlives_the_thread_that_started_it(sandbox):
    started = []
    starter = threading.Thread(target=lambda: started.append(sandbox.start(spec(ECHO))))
    starter.start()
    starter.join()
    time.sleep(0.3)
    with started[0] as running:
        running.send(b"\0\0\0\1x")
        assert read_exactly(running, 5) == b"\0\0\0\1x"


def test_kill_from_another_thread_ends_a_reader(sandbox):
    running = sandbox.start(spec(SLEEP))
    assert read_exactly(running, 3) == b"up\n"
    threading.Timer(0.2, running.kill).start()
    began = time.monotonic()
    assert running.receive() == b""
    ending = running.wait()
    assert time.monotonic() - began < 5
    assert ending.reason is EndReason.KILLED


@pytest.mark.parametrize("code", [SLEEP, "while True: print('x' * 60000, flush=True)"])
def test_kill_is_quick_even_when_nobody_reads(sandbox, code):
    running = sandbox.start(spec(code))
    time.sleep(0.7)
    began = time.monotonic()
    running.kill()
    ending = running.wait()
    assert time.monotonic() - began < 5
    assert ending.reason is EndReason.KILLED


def test_leaving_the_block_kills(sandbox):
    with sandbox.start(spec(SLEEP)) as running:
        assert read_exactly(running, 3) == b"up\n"
    assert running.wait().reason is EndReason.KILLED


def test_sleeping_forever_times_out(run_python):
    said, ending = run_python(SLEEP, seconds=1.5)
    assert said == "up\n"
    assert ending.reason is EndReason.TIMEOUT
    assert 1.5 <= ending.seconds < 6


def test_a_send_that_nobody_reads_ends_with_the_clock(sandbox):
    began = time.monotonic()
    with sandbox.start(spec(SLEEP, seconds=2.0)) as running:
        with pytest.raises(SandboxGone):
            running.send(b"x" * (64 << 20))
        assert running.wait().reason is EndReason.TIMEOUT
    assert time.monotonic() - began < 10


def test_input_closed_inside_does_not_hang(sandbox):
    code = "import os, time; os.close(0); print('shut', flush=True); time.sleep(1)"
    with sandbox.start(spec(code)) as running:
        assert read_exactly(running, 5) == b"shut\n"
        with contextlib.suppress(SandboxGone):  # dropped or refused, but never stuck
            running.send(b"x" * (8 << 20))
        assert running.wait().reason is EndReason.EXITED


def test_a_flood_on_stdout_is_cut(sandbox):
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    with sandbox.start(spec(code, output_mb=2)) as running:
        got = sum(map(len, iter(running.receive, b"")))
        assert running.wait().reason is EndReason.OUTPUT_LIMIT
    assert got <= 2 << 20


def test_a_flood_is_cut_when_only_waited_for(sandbox):
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    ending = sandbox.start(spec(code, output_mb=4)).wait()
    assert ending.reason is EndReason.OUTPUT_LIMIT


def test_stderr_is_drained_and_keeps_head_and_tail(run_python):
    code = """
import os
os.write(2, b"FIRST")
for _ in range(300): os.write(2, b"." * 65536)
os.write(2, b"LAST")
print("done")
"""
    said, ending = run_python(code, stderr_kb=8)
    assert said == "done\n"
    assert ending.stderr.startswith("FIRST")
    assert ending.stderr.endswith("LAST")
    assert "bytes dropped" in ending.stderr
    assert len(ending.stderr) < 9000


def test_a_slow_reader_slows_the_run_instead_of_filling_memory(sandbox):
    code = """
import os, sys, time
for _ in range(512): os.write(1, b"x" * 65536)
"""
    with sandbox.start(spec(code)) as running:
        time.sleep(1.0)
        assert not running._ended.is_set()
        assert sum(map(len, iter(running.receive, b""))) == 512 * 65536
        assert running.wait().reason is EndReason.EXITED
