"""The measurement of the sandbox, in small: it runs, and compares what is the same."""

import json
import subprocess
import sys

from django.conf import settings

from bench.measuring import in_turn, ratio, table

SMALL = ["--starts", "1", "--rounds", "1", "--rollouts", "12", "--examples", "number-hunt"]


def measured(*more: str) -> str:
    command = [sys.executable, "-m", "bench.sandbox", *SMALL, *more]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    ).stdout


def test_every_way_is_measured() -> None:
    report = json.loads(measured("--json"))
    ways = {"bubblewrap", "docker"} - set(report["missing"])
    assert "bubblewrap" in ways
    assert set(report["start"]) == {"plain process", *ways}
    assert [one["concurrency"] for one in report["rollouts"]] == [8, 32]
    for one in report["rollouts"]:
        assert set(one["ways"]) == {"one process", "plain process", *ways}
        assert all(way["rate"]["median"] > 0 for way in one["ways"].values())
        assert one["ways"]["plain process"]["to_plain"] == 1.0


def test_what_is_printed() -> None:
    said = measured()
    assert "Start to first byte, ms:" in said
    assert "number-hunt: 12 rollouts of up to 4 turns, 32 at once" in said


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = in_turn({name: lambda name=name: way(name) for name in "abc"}, 2)
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [6.0, 8.0], "b": [4.0, 9.0], "c": [5.0, 7.0]}


def test_ratios_are_taken_within_rounds() -> None:
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_table() -> None:
    assert table(["", "n"], [["long name", 1], ["b", 22]]) == (
        "            n\n---------  --\nlong name   1\nb          22"
    )
