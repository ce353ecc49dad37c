"""Graders that bound their own work with an alarm."""

from tests.runner.bench import Bench

TIMED = """
import os, signal

def ring(*_):
    raise TimeoutError("rang")

def timed(work):
    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 60)
    signal.alarm(1)
    try:
        return work()
    except TimeoutError:
        return "rang"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)

def forked(work):
    child = os.fork()
    if child == 0:
        os._exit(7 if timed(work) == "rang" else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

ENV = """
class Env:
    def reset(self, seed):
        return "o", {}
    def step(self, text):
        return "", STEP, True, False, {}
make = Env
"""


def test_a_grader_that_sets_an_alarm_grades(bench: Bench) -> None:
    result = bench.one(TIMED + ENV.replace("STEP", "timed(lambda: 1.0)"))
    assert (result.reward, result.error_text) == (1.0, "")


def test_alarms_ring_in_the_main_thread_which_loads(bench: Bench) -> None:
    source = f"{TIMED}\nassert timed(signal.pause) == 'rang'\n{ENV.replace('STEP', '1.0')}"
    assert bench.one(source).reward == 1.0


def test_alarms_ring_in_a_process_of_the_graders_own(bench: Bench) -> None:
    result = bench.one(TIMED + ENV.replace("STEP", "forked(signal.pause) / 7"))
    assert (result.reward, result.error_text) == (1.0, "")
