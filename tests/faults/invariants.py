"""I1 to I7 without I4, which is leftovers.py: what must hold once a broken stack is at rest."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from environments.models import Version
from environments.states import Status
from graders import transcripts
from graders.fields import clean
from graders.jobs import MAX_ATTEMPTS
from graders.models import Evaluation, Job, Rollout
from graders.states import OPEN_STATUSES, JobKind, Stage
from hub.audit.models import Event
from tests.faults import model_server, packages, witness
from tests.faults.clients import Upload
from tests.faults.packages import NUMBER, Package
from tests.faults.report import Check
from tests.faults.scene import Scene


def uploads(scene: Scene, check: Check) -> None:
    """I1: what was accepted is there, whole, and nothing else is."""
    versions = {
        (version.environment.owner.username, version.environment.name, version.number): version
        for version in Version.objects.select_related("environment__owner")
    }
    for upload in scene.known:
        check.expect(upload in scene.crowd.accepted, f"{upload.package.name} was never accepted.")
    accepted = {_address(upload): upload for upload in scene.crowd.accepted}
    for address, upload in accepted.items():
        version = versions.get(address)
        if check.expect(version is not None, f"{address} was accepted and has no row."):
            assert version is not None
            same = version.sha256 == upload.package.sha256
            check.expect(same, f"{address} has other content than was accepted.")
    for address in versions:
        check.expect(address in accepted, f"{address} has a row and was not accepted.")
    _blobs(scene.world.paths.media, versions.values(), check)
    for upload, status in scene.crowd.refused:
        check.expect(False, f"{upload.package.name} was refused with {status}.")


def at_rest(scene: Scene, check: Check) -> None:
    """I2: every job and every evaluation is over, every version has an outcome."""
    for job in Job.objects.select_related("evaluation"):
        check.expect(job.status not in OPEN_STATUSES, f"{job} is {job.status}.")
    for evaluation in Evaluation.objects.select_related("version"):
        check.expect(not evaluation.is_active, f"{evaluation} is {evaluation.stage}.")
    for version in Version.objects.all():
        has_outcome = version.status == Status.EVALUATED or bool(version.fault)
        check.expect(has_outcome, f"{version} is {version.status} without a reason.")


def results(scene: Scene, check: Check) -> None:
    """I3: one result an evaluation, of every rollout, once."""
    counts = Counter(Rollout.objects.values_list("task__evaluation_id", "task_id", "number"))
    for place, times in counts.items():
        check.expect(times == 1, f"Rollout {place} is there {times} times.")
    of_evaluation = Counter(evaluation for evaluation, _, _ in counts)
    for evaluation in Evaluation.objects.filter(stage=Stage.DONE).select_related("version"):
        wanted = evaluation.settings["tasks"] * evaluation.settings["rollouts"]
        found = of_evaluation[evaluation.pk]
        check.expect(found == wanted, f"{evaluation} has {found} of {wanted} rollouts.")
        _published(evaluation, check)


def scores(scene: Scene, check: Check) -> None:
    """I5: each reward is what the environment gives for what the model said, and nothing else."""
    by_digest = {upload.package.sha256: upload.package for upload in scene.known}
    odd = _odd_answers(scene.world.odd)
    for rollout in Rollout.objects.select_related("task__evaluation__version").iterator():
        package = by_digest.get(rollout.task.evaluation.version.sha256)
        if package is not None and package.is_measurable:
            _score(rollout, package, odd, check)
    jobs = defaultdict(list)
    for job in Job.objects.all():
        jobs[job.evaluation_id].append(job)
    for evaluation in Evaluation.objects.select_related("version"):
        package = by_digest.get(evaluation.version.sha256)
        if package is not None:
            _outcome(evaluation, package, jobs[evaluation.pk], check)
    for version in Version.objects.filter(status="failed"):
        package = by_digest.get(version.sha256)
        healthy = package is not None and package.is_healthy
        check.expect(not healthy, f"{version} is healthy and failed twice: {version.fault}")


def fencing(scene: Scene, check: Check) -> None:
    """I6: nobody wrote with a stale token, or without holding the job."""
    seen = witness.writes(scene.world)
    check.checked = seen.seen
    check.violations += [*seen.stale, *(f"{what}, unguarded" for what in seen.unguarded)]
    check.notes.append(f"{seen.unknown} of {seen.seen} writes by sessions that claimed nothing")


def audit_log(scene: Scene, check: Check) -> None:
    """I7: an upload's event for each version; for each evaluation its start and its end."""
    events = Counter(Event.objects.values_list("action", "target_id"))
    for version in Version.objects.values_list("pk", flat=True):
        times = events["version.uploaded", str(version)]
        check.expect(times == 1, f"Version {version} has {times} events of its upload.")
    for pk, stage in Evaluation.objects.values_list("pk", "stage"):
        started = events["evaluation.started", str(pk)]
        check.expect(started == 1, f"Evaluation {pk} has {started} events of its start.")
        for end in (Stage.DONE, Stage.FAILED, Stage.CANCELLED):
            times = events[f"evaluation.{end.value}", str(pk)]
            wanted = 1 if stage == end else 0
            check.expect(
                times == wanted, f"Evaluation {pk} is {stage}: {times} events {end.value}."
            )


def _address(upload: Upload) -> tuple[str, str, str]:
    return (upload.owner, upload.package.name, NUMBER)


def _blobs(media: Path, versions: Iterable[Version], check: Check) -> None:
    """Stored archives and rows are the same set; nothing half-written lies about."""
    digests = {version.sha256 for version in versions}
    stored = {path.name: path for path in (media / "archives").glob("*/*")}
    for digest in digests:
        if check.expect(digest in stored, f"The archive {digest[:12]} is not stored."):
            found = hashlib.sha256(stored[digest].read_bytes()).hexdigest()
            check.expect(found == digest, f"The archive {digest[:12]} is damaged.")
    for digest in stored:
        check.expect(digest in digests, f"The archive {digest[:12]} is nobody's.")
    for path in media.glob("incoming/*"):
        check.expect(False, f"{path.name} is left in incoming/.")
    keys = set(Rollout.objects.values_list("transcript_key", flat=True))
    kept = {str(path.relative_to(media)) for path in (media / "transcripts").rglob("*.zst")}
    for key in keys:
        check.expect(key in kept, f"The transcripts {key} are missing.")
    for key in kept - keys:
        check.expect(False, f"The transcripts {key} are nobody's.")


def _published(evaluation: Evaluation, check: Check) -> None:
    """The report is about the rollouts that are stored."""
    rewards = Rollout.objects.filter(task__evaluation=evaluation, reward__isnull=False)
    values = list(rewards.values_list("reward", flat=True))
    found = evaluation.report["difficulty"]["mean_reward"]["value"]
    same = abs(found - sum(values) / len(values)) < 1e-9
    check.expect(same, f"{evaluation} reports {found}, which is not the mean of {values}.")


def _odd_answers(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {question: _as_heard(text) for question, text in lines}


def _as_heard(text: str) -> str:
    """An answer as it arrives behind the policy and the session."""
    return clean(text.encode("utf-8", "replace").decode())


def _call_seed(seed: int, asked: int) -> int:
    """The sampler's seed of a rollout's question, from 0, as the session chooses it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{asked}".encode()).digest()[:4]) >> 1


def _score(rollout: Rollout, package: Package, odd: dict[str, str], check: Check) -> None:
    """The transcript is what the model said, and the reward what the environment makes of it."""
    label = f"Rollout {rollout.number} of task {rollout.task.index} of {package.name}"
    if not check.expect(not rollout.error_kind, f"{label} failed: {rollout.error}"):
        return
    place = transcripts.Place(
        rollout.transcript_key, rollout.transcript_offset, rollout.transcript_length
    )
    conversation: list[dict[str, str]] = []
    said: list[str] = []
    for message in transcripts.read(place):
        if message["role"] == "assistant":
            question = model_server.key(conversation, _call_seed(rollout.seed, len(said)))
            answers = {model_server.answer(question), odd.get(question)}
            check.expect(message["content"] in answers, f"{label}: the model did not say that.")
            said.append(message["content"])
        elif package.is_healthy:
            asked = packages.prompt(package.key, rollout.task.index, len(said))
            check.expect(message["content"] == asked, f"{label}: the prompt was not that.")
        conversation.append({"role": message["role"], "content": message["content"]})
    check.expect(len(said) == package.turns, f"{label} took {len(said)} turns.")
    wanted = packages.reward(package.key, rollout.task.index, said)
    check.expect(rollout.reward == wanted, f"{label}: {rollout.reward} instead of {wanted}.")


def _outcome(evaluation: Evaluation, package: Package, jobs: list[Job], check: Check) -> None:
    """Healthy ones fail for the platform's reasons only, bad ones are never scored."""
    if package.is_measurable:
        if evaluation.stage != Stage.FAILED:
            return
        given_up = [job for job in jobs if job.status in ("failed", "dead")]
        tried = [job for job in given_up if job.attempt >= MAX_ATTEMPTS]
        check.expect(bool(tried), f"{evaluation} failed at once: {evaluation.fault}")
        blamed = "The environment" in evaluation.fault
        check.expect(not blamed, f"{evaluation} is blamed: {evaluation.fault}")
    else:
        scored = evaluation.stage == Stage.DONE
        check.expect(not scored, f"{evaluation} ({package.kind}) was scored.")
        kinds = {job.kind for job in jobs}
        check.expect(JobKind.BUILD in kinds, f"{evaluation} was never built.")
