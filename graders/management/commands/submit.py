"""`manage.py submit`: add what a folder or an archive holds, and wait for its measures."""

import io
import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand

from environments.models import Version
from environments.packing import BadFolder, pack
from environments.services import Submission, submit
from graders.models import Evaluation, Rollout
from graders.states import Stage
from hub.accounts.models import User
from hub.errors import Problem, Refused

EVALUATION_FAILED, REFUSED = 1, 2
POLL_INTERVAL = 1.0  # seconds


class Command(BaseCommand):
    help = (
        "Submit the environments of a project: its folder, or a .zip, .tar.gz or .whl of it. Ends "
        "with 0 if they are accepted (--wait: evaluated), 1 if an evaluation failed, 2 if refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="the project's folder, or its archive")
        parser.add_argument("--owner", required=True, help="the username to add it under")
        parser.add_argument("--wait", action="store_true", help="until workers have evaluated it")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")

    def handle(self, *, path: Path, owner: str, wait: bool, **options: Any) -> None:
        # Progress goes beside the answer, so that a program can read the answer alone.
        self.say = self.stderr if options["json"] else self.stdout
        self.as_json: bool = options["json"]
        try:
            made = _submit(path, owner)
        except Refused as error:
            self._refuse(error)
            sys.exit(REFUSED)
        for version in made.versions:
            self.say.write(f"{version}: {'accepted' if made.is_new else 'the hub has it already'}")
        evaluations = {version: self._follow(version) for version in made.versions if wait}
        self._answer(made, evaluations)
        if any(evaluation.stage != Stage.DONE for evaluation in evaluations.values()):
            sys.exit(EVALUATION_FAILED)

    def _refuse(self, error: Refused) -> None:
        if self.as_json:
            problems = [vars(problem) for problem in error.problems]
            self.stdout.write(json.dumps({"refused": error.title, "problems": problems}))
            return
        self.stderr.write(f"Refused: {error.title}")
        for problem in error.problems:
            self.stderr.write(f"  {problem.where or 'archive'}: {problem.message}")

    def _follow(self, version: Version) -> Evaluation:
        """Wait until the version's newest evaluation is over, saying what changes."""
        said = ""
        while True:
            evaluation = version.evaluations.first()
            now = _progress(evaluation)
            if now != said:
                self.say.write(f"{version}: {now}")
                said = now
            if evaluation is not None and not evaluation.is_active:
                return evaluation
            time.sleep(POLL_INTERVAL)

    def _answer(self, made: Submission, evaluations: dict[Version, Evaluation]) -> None:
        if self.as_json:
            answers = {
                version: _answer(version, made.is_new, evaluations.get(version))
                for version in made.versions
            }
            answer = answers[made.version] | {"versions": list(answers.values())}
            self.stdout.write(json.dumps(answer))
            return
        for version, evaluation in evaluations.items():
            if evaluation.fault:
                self.stderr.write(f"The evaluation of {version} failed: {evaluation.fault}")


def _answer(version: Version, is_new: bool, evaluation: Evaluation | None) -> dict[str, Any]:
    version.refresh_from_db()
    return {
        "owner": version.environment.owner.username,
        "name": version.environment.name,
        "version": version.number,
        "package": version.package,
        "sha256": version.sha256,
        "new": is_new,
        "status": version.status,
        "review": version.review,
        "fault": (evaluation.fault if evaluation else version.fault) or None,
        "report": evaluation.report if evaluation else None,
    }


def _submit(path: Path, owner: str) -> Submission:
    """Submit what lies at `path` as its owner would. Raises Refused with every problem."""
    person = User.objects.filter(username=owner).first()
    if person is None:
        raise Refused("There is no such owner", [Problem("--owner", f"Nobody is called {owner}.")])
    with _open(path) as file:
        name = f"{path.resolve().name}.tar.gz" if path.is_dir() else path.name
        return submit(file=file, filename=name, owner=person, name=None, actor=person)


def _open(path: Path) -> BinaryIO:
    try:
        return io.BytesIO(pack(path)) if path.is_dir() else path.open("rb")
    except (BadFolder, OSError) as error:
        raise Refused("It cannot be read", [Problem(str(path), str(error))]) from error


def _progress(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "waiting for a worker"
    if evaluation.stage != Stage.RUNNING:
        return str(evaluation.stage)
    done = Rollout.objects.filter(task__evaluation=evaluation).count()
    return f"running, {done}/{evaluation.rollouts_planned} rollouts"
