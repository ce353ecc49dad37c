"""The supervisor with real processes; the programs are small shell scripts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.stack import processes
from hub.stack.errors import StackError
from hub.stack.paths import Paths
from hub.stack.processes import Lock, Program, Supervisor
from tests.stack.outer import stubborn

OUTER = Path(__file__).with_name("outer.py")
Eventually = Callable[..., None]


def shell(name: str, script: str, *, awaits: Path | None = None, **options: object) -> Program:
    return Program(
        name=name,
        label=name.title(),
        command=["sh", "-c", script],
        ready=lambda: awaits is None or awaits.exists(),
        **options,  # type: ignore[arg-type]
    )


def pids(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("stubborn", "detached")]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_ready_is_waited_for_and_said(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    mark = tmp_path / "mark"
    supervisor.start(shell("slow", f"sleep 0.3; touch {mark}; sleep 60", awaits=mark))
    assert mark.exists()
    assert said[0].startswith("Slow ....") and said[0].endswith(" s)")


def test_a_program_that_ends_while_starting_is_quoted(supervisor: Supervisor) -> None:
    program = shell("broken", "echo the disk is on fire; exit 3", awaits=Path("/nonexistent"))
    with pytest.raises(StackError, match=r"Broken ended with code 3 .*: the disk is on fire"):
        supervisor.start(program)


def test_a_program_that_does_not_exist_is_said(supervisor: Supervisor) -> None:
    program = Program("none", "None", ["/nonexistent/program"], ready=lambda: False)
    with pytest.raises(StackError, match=r"cannot be started: .*No such file"):
        supervisor.start(program)


def test_a_program_that_never_answers_is_given_up(supervisor: Supervisor) -> None:
    program = shell("mute", "sleep 60", awaits=Path("/nonexistent"), timeout=0.3)
    with pytest.raises(StackError, match="Mute gave no answer"):
        supervisor.start(program)


def test_stop_reaches_detached_grandchildren(paths: Paths, tmp_path: Path) -> None:
    with Supervisor(paths.logs, Lock(paths.data), print) as supervisor:
        supervisor.start(stubborn(tmp_path, 0.3))
        assert all(map(alive, pids(tmp_path)))
    assert not any(map(alive, pids(tmp_path)))


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """As a shell starts what it does not wait for."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_stop_is_in_reverse_order_and_with_the_programs_signal(
    paths: Paths, tmp_path: Path, in_the_background: None
) -> None:
    log = tmp_path / "log"
    script = (
        "trap 'echo {name} >> {log}; exit 0' {name}; touch {ready}; while :; do sleep 0.05; done"
    )
    with Supervisor(paths.logs, Lock(paths.data), print) as supervisor:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            name, ready = number.name.removeprefix("SIG"), tmp_path / number.name
            text = script.format(name=name, log=log, ready=ready)
            supervisor.start(shell(name, text, awaits=ready, stop=number))
    assert log.read_text().split() == ["QUIT", "TERM", "INT"]


def run_outer(paths: Paths, folder: Path, grace: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(OUTER), str(paths.data), str(folder), str(grace)]
    outer = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert outer.stdout is not None
    assert outer.stdout.readline() == b"up\n"
    return outer


def test_nothing_is_left_when_the_supervisor_is_killed(paths: Paths, tmp_path: Path) -> None:
    with run_outer(paths, tmp_path, grace=0.5) as outer:
        assert all(map(alive, pids(tmp_path)))
        outer.kill()
    # What it left is stopping, and the next stack waits for that.
    Lock(paths.data).release()
    assert not any(map(alive, pids(tmp_path)))


def test_a_program_ends_even_if_its_tether_is_killed(
    supervisor: Supervisor, tmp_path: Path, eventually: Eventually
) -> None:
    mark = tmp_path / "pid"
    supervisor.start(shell("plain", f"echo $$ > {mark}; exec sleep 60", awaits=mark))
    pid = int(mark.read_text())
    tether = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(tether, signal.SIGKILL)
    eventually(lambda: not alive(pid))


def test_a_second_interrupt_skips_the_grace(paths: Paths, tmp_path: Path) -> None:
    with run_outer(paths, tmp_path, grace=50.0) as outer:
        assert outer.stdout is not None
        outer.send_signal(signal.SIGINT)
        assert outer.stdout.readline() == b"stopping\n"
        time.sleep(0.3)
        assert outer.poll() is None
        outer.send_signal(signal.SIGINT)
        assert outer.wait(20) == 0
    assert not any(map(alive, pids(tmp_path)))


def test_what_dies_is_started_again(
    supervisor: Supervisor, tmp_path: Path, said: list[str], eventually: Eventually
) -> None:
    lives = tmp_path / "lives"
    script = f"echo life >> {lives}; echo out of memory; sleep 0.1; exit 7"
    supervisor.start(shell("frail", script, awaits=lives, restarts=True))

    def lived_twice() -> bool:
        supervisor.check()
        return lives.read_text().count("life") >= 2

    eventually(lived_twice)
    assert any("ended with code 7: out of memory" in line for line in said)


def test_what_dies_too_often_stops_the_stack(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = tmp_path / "lives"
    supervisor.start(shell("frail", f"echo x >> {lives}; exit 7", awaits=lives, restarts=True))
    # The pauses of 1, 2, 4, 8 s pass at once, by the supervisor's own clock.
    skipped = [0.0]
    now = time.monotonic
    monkeypatch.setattr(processes.time, "monotonic", lambda: now() + skipped[0])

    def run_on() -> None:
        for _ in range(2000):
            supervisor.check()
            skipped[0] += 0.1
            time.sleep(0.01)

    with pytest.raises(StackError, match="Frail ended with code 7"):
        run_on()
    assert lives.read_text().count("x") == processes.MOST_DEATHS


def test_what_may_not_be_restarted_stops_the_stack(
    supervisor: Supervisor, tmp_path: Path, eventually: Eventually
) -> None:
    mark = tmp_path / "mark"
    supervisor.start(shell("base", f"touch {mark}; sleep 0.1; kill -9 $$", awaits=mark))

    def fails() -> bool:
        try:
            supervisor.check()
        except StackError as error:
            return "Base ended with code 137" in str(error)
        return False

    eventually(fails)


def test_a_failed_step_is_quoted(supervisor: Supervisor) -> None:
    supervisor.run(shell("fine", "exit 0"))
    with pytest.raises(StackError, match="Step failed with code 2: no locale"):
        supervisor.run(shell("step", "echo no locale; exit 2"))


def test_the_log_before_this_one_is_kept(supervisor: Supervisor, paths: Paths) -> None:
    supervisor.run(shell("step", "echo first"))
    supervisor.run(shell("step", "echo second"))
    assert (paths.logs / "step.log.1").read_text() == "first\n"
    assert (paths.logs / "step.log").read_text() == "second\n"


def test_a_second_stack_on_the_same_data_is_refused_at_once(paths: Paths) -> None:
    first = Lock(paths.data)
    begun = time.monotonic()
    with pytest.raises(StackError, match=rf"already running on .*process {os.getpid()}\)") as found:
        Lock(paths.data)
    assert time.monotonic() - begun < 1
    assert "\n" not in str(found.value)
    first.release()
    Lock(paths.data).release()
