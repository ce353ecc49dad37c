"""What the demo reads from the REST API and writes down. The API itself is tested elsewhere."""

import json
from pathlib import Path

import httpx
import pytest

from hub.stack import demo
from hub.stack.errors import StackError
from hub.stack.examples import Example

EXAMPLE = Example("practicum", "sums", "1.0.0")
VERSION = {"owner": "practicum", "name": "sums", "version": "1.0.0", "format": "step", "fault": ""}
STATS = {
    "model": "smollm2-135m",
    "sandbox": "docker",
    "tasks": 16,
    "rollouts": 128,
    "group": 8,
    "seconds": 41.25,
    "tokens": 9000,
    "mean_reward": {"value": 0.25, "low": 0.2, "high": 0.3},
    "pass_at_1": {"value": 0.125, "low": 0.1, "high": 0.15},
    "signal": {"value": 0.5, "low": 0.4, "high": 0.6},
    "vs2_128": None,
}


def site(*statuses: str, stats: dict[str, object] | None = None) -> httpx.Client:
    """A site where the version has these statuses, one a request, the last one for good."""
    left = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == f"{EXAMPLE.url}stats/":
            return httpx.Response(404) if stats is None else httpx.Response(200, json=stats)
        assert request.url.path == EXAMPLE.url
        status = left.pop(0) if len(left) > 1 else left[0]
        if status == "down":
            raise httpx.ConnectError("refused")
        fault = "the grader raised" if status == "failed" else ""
        return httpx.Response(200, json=VERSION | {"status": status, "fault": fault})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://site")


def test_each_change_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "POLL_INTERVAL", 0.001)
    said: list[str] = []
    checks: list[int] = []
    client = site("uploaded", "uploaded", "down", "running", "evaluated")
    demo.follow(demo.Progress(client, [EXAMPLE], said.append), lambda: checks.append(1))
    assert [line.split()[-1] for line in said] == ["uploaded", "running", "evaluated"]
    assert said[-1].startswith("[1/1,") and said[0].startswith("[0/1,")
    assert len(checks) == 5


def test_a_failure_is_settled_and_its_reason_said() -> None:
    said: list[str] = []
    progress = demo.Progress(site("failed"), [EXAMPLE], said.append)
    progress.poll()
    assert progress.done
    assert said[0].endswith("practicum/sums 1.0.0 failed: the grader raised")


def test_standing_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.05)
    monkeypatch.setattr(demo, "POLL_INTERVAL", 0.01)
    with pytest.raises(StackError, match="stood still"):
        demo.follow(demo.Progress(site("running"), [EXAMPLE], print), lambda: None)


def test_the_report_has_every_quantity_with_its_interval(tmp_path: Path) -> None:
    rows = demo.report(site("evaluated", stats=STATS), [EXAMPLE])
    demo.write(tmp_path / "demo.json", rows)
    assert json.loads((tmp_path / "demo.json").read_text()) == [
        {
            "owner": "practicum",
            "name": "sums",
            "version": "1.0.0",
            "format": "step",
            "sandbox": "docker",
            "status": "evaluated",
            "fault": None,
            "tasks": 16,
            "rollouts": 128,
            "mean_reward": 0.25,
            "mean_reward_interval": [0.2, 0.3],
            "pass_at_1": 0.125,
            "pass_at_1_interval": [0.1, 0.15],
            "signal": 0.5,
            "signal_interval": [0.4, 0.6],
            "group": 8,
            "vs2_128": None,
            "vs2_128_interval": None,
            "seconds": 41.25,
            "tokens": 9000,
        }
    ]
    head, line = demo.table(rows).splitlines()
    assert head.split()[:4] == ["environment", "format", "sandbox", "status"]
    assert "0.500 [0.400, 0.600]" in line


def test_a_version_without_numbers_is_reported_too() -> None:
    rows = demo.report(site("failed"), [EXAMPLE])
    assert rows[0]["status"] == "failed"
    assert rows[0]["fault"] == "the grader raised"
    assert rows[0]["mean_reward"] is None
    assert demo.table(rows).splitlines()[1].split()[:4] == ["practicum/sums", "1.0.0", "step", "-"]
