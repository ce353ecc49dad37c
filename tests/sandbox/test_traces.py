"""What is left behind: nothing, even after the worst, and uids are never shared."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graders.sandbox import EndReason, SandboxUnavailable
from graders.sandbox.docker import Docker
from graders.sandbox.slots import BLOCKS, FIRST_UID, SLOTS, Slots

from .support import IMAGE, containers, mine, spec, traces, uids_in_use

SLEEP = "import time; print('up', flush=True); time.sleep(600)"

# A worker of its own, which starts one run and waits to be killed.
WORKER = """
import sys, time
from pathlib import Path
from graders.sandbox import offer
from graders.sandbox.base import Limits, Spec
driver, image, state, code = sys.argv[1:]
sandbox = offer(driver, images=[image], state_dir=Path(state)).default
running = sandbox.start(Spec("orphan", ("python3", "-c", code), limits=Limits(seconds=120)))
assert running.receive() == b"up\\n"
print("up", flush=True)
time.sleep(600)
"""


def end_every_way(sandbox, run_python):
    run_python("print(1)")
    run_python("import os; os.kill(os.getpid(), 9)")
    run_python("hog = []\nwhile True: hog.append(bytearray(8 << 20))", memory_mb=64)
    run_python(SLEEP, seconds=1)
    run_python("while True: print('x' * 60000)", output_mb=1)
    run_python("import os\nfor _ in range(8): os.fork()\nimport time; time.sleep(60)", seconds=1)
    with sandbox.start(spec(SLEEP)):
        pass
    with pytest.raises(ValueError, match=r"Limits\.seconds"):
        sandbox.start(spec(SLEEP, seconds=0))


def settled_fds() -> int:
    """Open files of this process once the threads of ended runs are gone."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and threading.active_count() > 1:
        time.sleep(0.05)
    return len(list(Path("/proc/self/fd").iterdir()))


def test_every_ending_leaves_nothing(sandbox, run_python):
    end_every_way(sandbox, run_python)
    before = settled_fds()
    end_every_way(sandbox, run_python)
    assert settled_fds() <= before + 1
    assert traces(mine(sandbox)) == ([], [], [])
    with sandbox.start(spec("import os; print(os.getuid())")) as running:
        uid = int(running.receive())
        assert uid >= FIRST_UID
        running.wait()
    assert uid not in uids_in_use()


def test_a_crowd_runs_at_once_with_a_uid_each(sandbox):
    code = "import os, sys; print(os.getuid(), flush=True); sys.stdin.read()"
    crowd: list = []
    starters = [
        threading.Thread(target=lambda: crowd.append(sandbox.start(spec(code)))) for _ in range(6)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    uids = [int(running.receive()) for running in crowd]
    for running in crowd:
        running.close_input()
    endings = [running.wait() for running in crowd]
    assert len(set(uids)) == 6
    assert {(e.reason, e.exit_code) for e in endings} == {(EndReason.EXITED, 0)}
    assert traces(mine(sandbox)) == ([], [], [])


def test_a_killed_worker_leaves_nothing_after_one_reaping(sandbox, tmp_path):
    mine_too = type(sandbox)
    arguments = [sandbox.name, IMAGE, str(tmp_path), SLEEP]
    root = Path(__file__).parents[2]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, cwd=root
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"up\n"
    reaper = Docker(IMAGE, tmp_path) if mine_too is Docker else mine_too(tmp_path)
    reaper.reap(max_age=3600)
    assert traces(mine(reaper)) != ([], [], [])  # its worker lives
    worker.kill()
    worker.wait()
    worker.stdout.close()
    time.sleep(0.5)
    # At least: it also counts what tests beside this one leave behind on purpose.
    assert reaper.reap(max_age=3600) >= 1
    assert traces(mine(reaper)) == ([], [], [])
    with reaper.start(spec("print('again')")) as running:
        assert running.wait().reason is EndReason.EXITED


@pytest.mark.docker
def test_only_expired_containers_of_another_state_folder_are_reaped(tmp_path, monkeypatch):
    ours, theirs = Docker(IMAGE, tmp_path / "a"), Docker(IMAGE, tmp_path / "b")
    with theirs.start(spec(SLEEP)) as running:
        assert running.receive() == b"up\n"
        time.sleep(1.1)
        ours.reap(max_age=1)
        assert traces(mine(theirs)) != ([], [], [])
        monkeypatch.setattr("graders.sandbox.docker.EXPIRY_GRACE", -100.0)
        with theirs.start(spec(SLEEP)) as late:
            assert late.receive() == b"up\n"
            assert ours.reap(max_age=3600) >= 1
            ending = late.wait()
        assert (ending.reason, ending.exit_code) == (EndReason.LOST, None)
        running.kill()
        assert running.wait().reason is EndReason.KILLED


@pytest.mark.docker
def test_old_containers_of_this_state_folder_are_reaped(tmp_path):
    ours = Docker(IMAGE, tmp_path)
    with ours.start(spec(SLEEP)) as running:
        assert running.receive() == b"up\n"
        ours.reap(max_age=3600)
        assert traces(mine(ours)) != ([], [], [])
        time.sleep(1.1)
        assert ours.reap(max_age=1) >= 1
        assert running.wait().reason is EndReason.LOST


@pytest.mark.docker
def test_a_leftover_container_of_a_retaken_slot_is_removed(tmp_path):
    ours = Docker(IMAGE, tmp_path)
    slot = ours._slots.take()
    name = f"practicum-{ours._slots.owner}-{slot.number}"
    leftover = ours._create(name, spec(SLEEP), slot)
    slot.release()
    with ours.start(spec("print('fresh')")) as running:
        assert running.receive() == b"fresh\n"
        running.wait()
    assert leftover not in containers(ours._slots.owner)


def test_a_start_that_fails_leaves_nothing(sandbox, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    run = "DockerRun" if isinstance(sandbox, Docker) else "BubblewrapRun"
    monkeypatch.setattr(f"{type(sandbox).__module__}.{run}.__init__", broken)
    with pytest.raises(RuntimeError, match="broken"):
        sandbox.start(spec(SLEEP))
    assert traces(mine(sandbox)) == ([], [], [])
    monkeypatch.undo()
    with sandbox.start(spec("print('fine')")) as running:
        assert running.wait().reason is EndReason.EXITED


def test_slots_are_exclusive_between_processes(tmp_path):
    here = Slots(tmp_path)
    held = here.take()
    taken = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from graders.sandbox.slots import Slots\n"
            "print(Slots(Path(sys.argv[1])).take().uid)",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(taken.stdout) == held.uid + 1 == here.first_uid + 1
    again = here.take()
    assert again.uid == held.uid + 1  # that process is gone, and its lock with it
    assert FIRST_UID <= held.uid < FIRST_UID + BLOCKS * SLOTS
    assert here.first_uid != Slots(tmp_path / "another").first_uid
    held.release()
    held.release()
    assert here.take().uid == here.first_uid


def test_no_slot_left_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("graders.sandbox.slots.SLOTS", 2)
    slots = Slots(tmp_path)
    held = [slots.take(), slots.take()]
    with pytest.raises(SandboxUnavailable, match="lower the workers' concurrency"):
        slots.take()
    for slot in held:
        slot.release()
