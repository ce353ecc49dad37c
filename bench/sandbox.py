"""What the sandbox costs: `python -m bench.sandbox`, see bench/README.md."""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.arms import Example, Plain, Times, directly, through, unpacked
from bench.measuring import in_turn, machine, ratio, seconds, spread, table
from graders.sandbox import Limits, Sandbox, SandboxUnavailable, Spec, offer
from tests.runner.local import INTERPRETER

DRIVERS = ("bubblewrap", "docker")
IMAGE = os.environ.get("SANDBOX_IMAGES", "practicum-sandbox:latest").split(",")[0].strip()
HELLO = "print('hello')"
# Without site-packages, which outside has and a sandbox has not.
ARGUMENTS = ("-I", "-S", "-c", HELLO)
# The interpreter's own start under the sandbox's limits: a child of the one that is inside.
INSIDE = f"""
import subprocess, sys, time
for _ in range(15):
    began = time.perf_counter()
    subprocess.run([sys.executable, *{ARGUMENTS!r}], capture_output=True, check=True)
    print(time.perf_counter() - began)
"""
EXAMPLES = ("number-hunt", "one-truth-teller")
CONCURRENCY = (8, 32)
PLAIN = "plain process"
DIRECT = "one process"

Report = dict[str, Any]


def drivers(state: Path) -> tuple[dict[str, Sandbox], dict[str, str]]:
    """The drivers that work here, and why the others do not."""
    found: dict[str, Sandbox] = {}
    missing: dict[str, str] = {}
    for name in DRIVERS:
        try:
            found[name] = offer(name, images=[IMAGE], state_dir=state).default
        except SandboxUnavailable as error:
            missing[name] = str(error)
    return found, missing


def plain_hello() -> float:
    """Seconds from starting the interpreter to its first byte."""
    with subprocess.Popen([INTERPRETER, *ARGUMENTS], stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        taken = seconds(lambda: process.stdout and process.stdout.read(1))
        process.stdout.read()
    return taken


def sandboxed_hello(sandbox: Sandbox) -> Callable[[], float]:
    """The same in a fresh sandbox; its removal is not counted."""

    def run() -> float:
        spec = Spec("bench", ("python3", *ARGUMENTS), limits=Limits(seconds=60.0))
        with ExitStack() as stack:
            return seconds(lambda: stack.enter_context(sandbox.start(spec)).receive(1))

    return run


def inside(sandbox: Sandbox) -> list[float]:
    """Seconds that the sandbox's own interpreter takes to say hello, once one is in."""
    spec = Spec("bench", ("python3", "-I", "-c", INSIDE), limits=Limits(seconds=60.0))
    with sandbox.start(spec) as running:
        said = b"".join(iter(running.receive, b"")).decode()
        running.wait()
    return [float(line) for line in said.split()]


def start(sandboxes: dict[str, Sandbox], rounds: int) -> Report:
    """Sandbox start to first byte, against `python3 -c` outside and the same inside."""
    ways: dict[str, Callable[[], float]] = {PLAIN: plain_hello}
    ways |= {name: sandboxed_hello(sandbox) for name, sandbox in sandboxes.items()}
    found = in_turn(ways, rounds)
    report: Report = {PLAIN: {"seconds": spread(found[PLAIN]), "to_plain": 1.0}}
    for name, sandbox in sandboxes.items():
        own = statistics.median(inside(sandbox))
        report[name] = {
            "python": sandbox.python,
            "seconds": spread(found[name]),
            "to_plain": ratio(found[name], found[PLAIN]),
            "interpreter_inside": own,
            "to_inside": statistics.median(found[name]) / own,
        }
    return report


def rollouts(
    sandboxes: dict[str, Sandbox], example: Example, count: int, concurrency: int, rounds: int
) -> Report:
    """Rollouts a second of each way, and where a run's time went (medians, in seconds)."""
    taken: dict[str, list[Times]] = {}

    def keep(name: str, run: Callable[[], Times]) -> Callable[[], float]:
        def once() -> float:
            times = run()
            taken.setdefault(name, []).append(times)
            return times.rate

        return once

    with tempfile.TemporaryDirectory(prefix="practicum-bench-") as scratch:
        plain, root = Plain(Path(scratch)), str(example.bundle)
        ways = {
            DIRECT: keep(DIRECT, lambda: directly(example, count, concurrency)),
            PLAIN: keep(PLAIN, lambda: through(plain, example, root, count, concurrency)),
        }
        for name, sandbox in sandboxes.items():
            ways[name] = keep(name, partial(through, sandbox, example, "/env", count, concurrency))
        rates = in_turn(ways, rounds)
    if len({times.rewards for found in taken.values() for times in found}) != 1:
        raise RuntimeError("the ways did not earn the same rewards, so they did not do the same")
    return {name: _row(rates, name, taken[name][1:]) for name in ways}


def _row(rates: dict[str, list[float]], name: str, taken: list[Times]) -> Report:
    def middle(part: str) -> float:
        return statistics.median(getattr(times, part) for times in taken)

    parts = {part: middle(part) for part in ("start", "load", "run", "close")}
    return {
        "rate": spread(rates[name]),
        "to_plain": ratio(rates[name], rates[PLAIN]),
        "parts": parts,
        "each": middle("run") / taken[0].count,
    }


def measure(options: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory(prefix="practicum-bench-") as state:
        sandboxes, missing = drivers(Path(state))
        report: Report = {"machine": machine(), "missing": missing, "rollouts": []}
        report["start"] = start(sandboxes, options.starts)
        for name in options.examples:
            with unpacked(name) as example:
                for concurrency in CONCURRENCY:
                    found = rollouts(
                        sandboxes, example, options.rollouts, concurrency, options.rounds
                    )
                    report["rollouts"].append(
                        {
                            "example": name,
                            "turns": example.manifest.max_turns,
                            "count": options.rollouts,
                            "concurrency": concurrency,
                            "ways": found,
                        }
                    )
    return report


def show(report: Report) -> str:
    parts = [", ".join(f"{key} {value}" for key, value in report["machine"].items())]
    parts += [f"{name} is left out: {why}" for name, why in report["missing"].items()]
    parts.append("Start to first byte, ms:\n" + _starts(report["start"]))
    for one in report["rollouts"]:
        title = (
            f"{one['example']}: {one['count']} rollouts of up to {one['turns']} turns, "
            f"{one['concurrency']} at once, a policy that takes no time; ms but for the rates:"
        )
        parts.append(f"{title}\n{_rollouts(one['ways'])}")
    return "\n\n".join(parts)


def _starts(report: Report) -> str:
    head = ["", "median", "least", "most", "n", "to plain", "own python3 -c", "to it"]
    rows = []
    for name, one in report.items():
        times = one["seconds"]
        own, to_own = one.get("interpreter_inside"), one.get("to_inside")
        rows.append(
            [
                name,
                *(_ms(times[key]) for key in ("median", "least", "most")),
                times["count"],
                f"{one['to_plain']:.2f}x",
                _ms(own) if own else "",
                f"{to_own:.2f}x" if to_own else "",
            ]
        )
    return table(head, rows)


def _rollouts(report: Report) -> str:
    head = ["", "rollouts/s", "to plain", "each", "start", "load", "run", "close"]
    rows = [
        [
            name,
            f"{one['rate']['median']:.0f}",
            f"{one['to_plain']:.2f}x",
            f"{one['each'] * 1e3:.2f}",
            *(_ms(one["parts"][part]) for part in ("start", "load", "run", "close")),
        ]
        for name, one in report.items()
    ]
    return table(head, rows)


def _ms(value: float) -> str:
    return f"{value * 1e3:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__)
    parser.add_argument("--starts", type=int, default=21, help="counted starts of each way")
    parser.add_argument("--rollouts", type=int, default=400, help="in one run")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each way")
    parser.add_argument("--examples", nargs="+", default=list(EXAMPLES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = measure(options)
    print(json.dumps(report) if options.json else show(report))


if __name__ == "__main__":
    main()
