"""The same rollouts by us and by others: `python -m bench.rollouts`, see bench/README.md."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench import places
from bench.arms import DIRECT, REPOSITORY
from bench.instant import completion
from bench.measuring import in_turn, machine, ratio, spread, table
from bench.model import Model, running
from bench.sandbox import DRIVERS, IMAGE, drivers

ANSWER = "42"
CONNECTIONS = 32
CEILING = 20_000
VERIFIERS, INSPECT = "verifiers", "inspect"
RIVALS = {VERIFIERS: 5, INSPECT: 15}  # how many times as fast we want to be
RUN = "import sys; sys.path += {paths!r}; from bench.{program} import main; main()"

Report = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A program of this folder under one interpreter; `terms` are its own."""

    program: str
    python: str
    paths: tuple[str, ...]
    terms: dict[str, Any]

    def run(self, model: Model, terms: dict[str, Any]) -> Report:
        """What the program tells, with the time it was started and what the model did."""
        code = RUN.format(paths=list(self.paths), program=self.program)
        told = json.dumps({**self.terms, **terms, "url": model.url, "answer": ANSWER})
        model.look()
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="practicum-bench-") as home:
            env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_DATA_HOME": home}
            done = subprocess.run(
                [self.python, "-P", "-c", code, told],
                cwd=home,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{self.program} failed:\n{done.stderr[-4000:]}")
        return {**json.loads(done.stdout), "began": began, "model": model.look()}


@dataclass(frozen=True)
class Run:
    """One run of a way. Seconds; processor time is that of the rollouts alone, by process."""

    start: float  # from nothing to the imports; ours: to a sandbox that runs, too
    load: float  # making the environment; ours: in the sandbox, with its imports
    run: float  # from the first request to the last result
    whole: float
    count: int
    spent: dict[str, float]
    rewards: tuple[float, ...]

    @classmethod
    def read(cls, told: Report, count: int) -> "Run":
        marks = {name: at for name, (at, _) in told["marks"].items()}
        cpu = {name: spent for name, (_, spent) in told["marks"].items()}
        ready, first, ended = marks["loaded"], told["model"]["first"], marks["ended"]
        load = told.get("load", ready - marks["imported"])
        spent = {"own": cpu["ended"] - cpu["loaded"], "server": told["model"]["cpu"]}
        if "runner" in told:
            spent["runner"] = told["runner"]["run"]
        if told["model"]["asked"] != count:
            raise RuntimeError(f"{told['model']['asked']:g} requests for {count} rollouts")
        return cls(
            start=first - told["began"] - load,
            load=load,
            run=ended - first,
            whole=ended - told["began"],
            count=count,
            spent=spent,
            rewards=tuple(told["rewards"]),
        )

    @property
    def rate(self) -> float:
        return self.count / self.run


def ways(wanted: Sequence[str]) -> tuple[dict[str, Way], dict[str, str]]:
    """Those wanted: ours, one for each sandbox that works here, and the others.

    And what does not work here, with the reason.
    """
    here = (str(REPOSITORY), str(places.PROJECT))
    sandboxes, missing = drivers(places.state())
    found = {
        name: Way(
            "of_practicum",
            sys.executable,
            here,
            {
                "driver": name,
                "images": [IMAGE],
                "state": str(places.state()),
                "bundle": str(places.bundle(sandbox)),
            },
        )
        for name, sandbox in sandboxes.items()
        if name in wanted
    }
    for name in RIVALS:
        if name in wanted:
            python = places.venv(name, *places.REQUIREMENTS[name])
            found[name] = Way(f"of_{name}", str(python), here, {})
    return found, missing


def rates(found: dict[str, Way], model: Model, options: argparse.Namespace) -> Report:
    """Rollouts a second of each way, and where a run's time went (medians, in seconds)."""
    count, taken = options.rollouts, dict[str, list[Run]]()
    terms = {"what": "rollouts", "count": count, "concurrency": options.concurrency}

    def keep(name: str) -> float:
        run = Run.read(found[name].run(model, terms), count)
        taken.setdefault(name, []).append(run)
        return run.rate

    steady = in_turn({name: partial(keep, name) for name in found}, options.rounds)
    if len({run.rewards for runs in taken.values() for run in runs}) != 1:
        raise RuntimeError("the ways did not earn the same rewards, so they did not do the same")
    counted = {name: runs[1:] for name, runs in taken.items()}
    return {name: _row(counted, steady, name) for name in found}


def _row(counted: dict[str, list[Run]], steady: dict[str, list[float]], name: str) -> Report:
    runs = counted[name]

    def middle(of: Callable[[Run], float]) -> float:
        return statistics.median(map(of, runs))

    row: Report = {"rate": spread(steady[name])}
    row["parts"] = {
        part: middle(lambda run, part=part: getattr(run, part))  # type: ignore[misc]
        for part in ("start", "load", "run", "whole")
    }
    row["spent"] = {
        process: middle(lambda run, process=process: run.spent[process] / run.count)  # type: ignore[misc]
        for process in runs[0].spent
    }
    row["to"] = {
        rival: {
            "steady": ratio(steady[name], steady[rival]),
            "whole": ratio([one.whole for one in counted[rival]], [one.whole for one in runs]),
        }
        for rival in RIVALS
        if rival in counted
    }
    return row


def shares(found: dict[str, Way], model: Model, options: argparse.Namespace) -> Report:
    """Processor seconds a rollout: of the calls to the model alone, and of all else alone.

    The second is the same with a model at hand: no request, and for ours no frames and no worker.
    """
    count = options.rollouts
    terms = {"count": count, "concurrency": options.concurrency}

    def spent(way: Way, what: str) -> float:
        marks = way.run(model, {**terms, "what": what})["marks"]
        return (marks["ended"][1] - marks["loaded"][1]) / count

    report: Report = {}
    for name, way in found.items():
        alone = spent(way, "alone") if name in RIVALS else _adapter_alone(terms)
        report[name] = {"calls": spent(way, "calls"), "alone": alone}
    return report


def _adapter_alone(terms: dict[str, Any]) -> float:
    """Processor seconds a rollout of the runner's adapter in one process, the model at hand."""
    asked = {
        "entry": "sums:load_environment",
        "format": "verifiers-v0",
        "args": {"count": terms["count"]},
        "paths": [str(places.PROJECT)],
        "max_turns": 1,
        "reward_range": [0.0, 1.0],
        "completion": completion(ANSWER),
    }
    python = str(places.venv(VERIFIERS, *places.REQUIREMENTS[VERIFIERS]))
    command = [python, "-P", "-c", DIRECT.format(str(REPOSITORY)), json.dumps({**terms, **asked})]
    done = subprocess.run(command, capture_output=True, check=True)
    return float(json.loads(done.stdout)["cpu"]) / int(terms["count"])


def measure(options: argparse.Namespace) -> Report:
    found, missing = ways(options.ways)
    with running(ANSWER) as model:
        report: Report = {"machine": machine(), "missing": missing}
        report["count"], report["concurrency"] = options.rollouts, options.concurrency
        report["ceiling"] = model.ceiling(CEILING, CONNECTIONS)
        report["ways"] = rates(found, model, options)
        for name, share in shares(found, model, options).items():
            report["ways"][name]["shares"] = share
    return report


def show(report: Report) -> str:
    parts = [", ".join(f"{key} {value}" for key, value in report["machine"].items())]
    parts += [f"{name} is left out: {why}" for name, why in report["missing"].items()]
    parts.append(
        f"{report['count']} rollouts of one turn, {report['concurrency']} at once, and a model "
        f"that takes no time: it answers {report['ceiling']:.0f} requests a second."
    )
    parts.append("Rollouts a second, and seconds:\n" + _rates(report["ways"]))
    parts.append("Processor time of the rollouts, ms each:\n" + _spent(report["ways"]))
    parts.append("How many times as fast:\n" + _ratios(report["ways"]))
    return "\n\n".join(parts)


def _rates(report: Report) -> str:
    rows = [
        [
            name,
            *(f"{one['rate'][key]:.0f}" for key in ("median", "least", "most")),
            *(f"{one['parts'][part]:.2f}" for part in ("start", "load", "run", "whole")),
        ]
        for name, one in report.items()
    ]
    return table(["", "rollouts/s", "least", "most", "start", "load", "run", "whole"], rows)


def _spent(report: Report) -> str:
    head = ["", "client", "runner", "server", "all", "model calls", "all else", "rest"]
    rows = []
    for name, one in report.items():
        spent, share = one["spent"], one["shares"]
        whole = sum(spent.values())
        rest = whole - spent["server"] - share["calls"] - share["alone"]
        cells = [spent["own"], spent.get("runner"), spent["server"], whole]
        cells += [share["calls"], share["alone"], rest]
        rows.append([name, *("" if cell is None else f"{cell * 1e3:.2f}" for cell in cells)])
    return table(head, rows)


def _ratios(report: Report) -> str:
    rows = [
        [name, rival, f"{to['steady']:.2f}x", f"{RIVALS[rival]}x", f"{to['whole']:.2f}x"]
        for name, one in report.items()
        if name not in RIVALS
        for rival, to in one["to"].items()
    ]
    return table(["", "than", "rollouts/s", "wanted", "whole run"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rollouts", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=500, help="in one run")
    parser.add_argument("--concurrency", type=int, default=32, help="rollouts at once")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each way")
    parser.add_argument("--ways", nargs="+", default=[*DRIVERS, *RIVALS], help="only these")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = measure(options)
    print(json.dumps(report) if options.json else show(report))


if __name__ == "__main__":
    main()
