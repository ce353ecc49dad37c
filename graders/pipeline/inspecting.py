"""Inspect: load the environment in the sandbox, read its tasks, and see how diverse they are."""

import functools
import math

from environments import services as catalogue
from graders import jobs, services
from graders.beating import Heartbeat
from graders.embed import Embedder
from graders.errors import EnvironmentFault
from graders.jobs import Claim
from graders.metrics import diversity
from graders.models import Evaluation, Task
from graders.pipeline import launching, sampling
from graders.session import Hello, Preview, Session

SECONDS = 300.0
PROMPT_LIMIT = 20_000


def run(held: Claim, heartbeat: Heartbeat) -> None:
    """Carry out an inspect job."""
    evaluation = held.job.evaluation
    name = f"inspect-{held.job.pk}-{held.token}"
    with launching.prepared(evaluation) as prepared:
        terms = launching.launch(evaluation, prepared, job=name, seconds=SECONDS)
        with Session(prepared.sandbox, terms, watch=heartbeat) as session:
            hello = session.hello
            heartbeat.say(_about(hello))
            previews = session.peek(_wanted(evaluation, hello))
    heartbeat.say(f"{len(previews)} prompts read")
    tasks = _tasks(evaluation, previews)
    with jobs.guarded(held) as job:
        _write(evaluation, hello, tasks)
        services.inspected(job, shards=_shards(evaluation, tasks))
        jobs.finish(job, log=_errors(previews))


@functools.cache
def embedder() -> Embedder:
    """This process's embedding model, loaded once."""
    return Embedder()


def _wanted(evaluation: Evaluation, hello: Hello) -> list[int]:
    if hello.tasks == 0:
        raise EnvironmentFault("The environment has no tasks.")
    digest = evaluation.version.sha256
    return sampling.order(hello.tasks, evaluation.settings["prompts"], digest)


def _tasks(evaluation: Evaluation, previews: list[Preview]) -> list[Task]:
    """The tasks that could be shown, embedded. Raises EnvironmentFault if too few could be."""
    shown = [preview for preview in previews if preview.error is None]
    if 2 * len(shown) < len(previews) or not shown:
        broken = next(preview for preview in previews if preview.error is not None)
        raise EnvironmentFault(
            f"{len(previews) - len(shown)} of {len(previews)} tasks could not be shown. "
            f"Task {broken.task}: {broken.error}"
        )
    prompts = [_text(preview)[:PROMPT_LIMIT] for preview in shown]
    embeddings = embedder().embed(prompts)
    duplicates = diversity.near_duplicates(prompts).flags
    return [
        Task(
            evaluation=evaluation,
            index=preview.task,
            position=position,
            prompt=prompt,
            embedding=embedding,
            has_near_duplicate=bool(duplicate),
        )
        for position, (preview, prompt, embedding, duplicate) in enumerate(
            zip(shown, prompts, embeddings, duplicates, strict=True)
        )
    ]


def _text(preview: Preview) -> str:
    """What tells tasks apart: the user's messages, without the instructions all tasks share."""
    own = [m["content"] for m in preview.messages if m["role"] != "system"]
    return "\n\n".join(own)


def _shards(evaluation: Evaluation, tasks: list[Task]) -> int:
    rolled_out = min(len(tasks), evaluation.settings["tasks"])
    return math.ceil(rolled_out / evaluation.profile.shard_tasks)


def _write(evaluation: Evaluation, hello: Hello, tasks: list[Task]) -> None:
    rolled_out = min(len(tasks), evaluation.settings["tasks"])
    evaluation.tasks.all().delete()
    Task.objects.bulk_create(tasks)
    Evaluation.objects.filter(pk=evaluation.pk).update(
        format=hello.format,
        task_count=hello.tasks,
        rollouts_planned=rolled_out * evaluation.settings["rollouts"],
    )
    catalogue.keep_format(version=evaluation.version, name=hello.format)


def _about(hello: Hello) -> str:
    count = "endless" if hello.tasks is None else f"{hello.tasks}"
    return f"format: {hello.format}, tasks: {count}, loaded in {hello.load_s:.2f} s"


def _errors(previews: list[Preview]) -> str:
    lines = [f"task {p.task}: {p.error}" for p in previews if p.error is not None]
    return "\n".join(lines[:50])
