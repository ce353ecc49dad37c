"""Whose turn it is: which job the next free worker takes, of all the queues that it serves.

Owners with fewer running jobs come first, then what is short, then what is older; within an
evaluation jobs go in order. So whoever submits two hundred versions delays nobody else by more
than what runs already. An evaluation that has not begun waits while as many of its owner's as are
allowed are under way.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.db import connection
from django.db.models import Q

from graders.models import Evaluation, Job
from graders.states import KINDS, OPEN_STATUSES, JobKind, JobStatus
from hub.accounts import quotas
from hub.accounts.models import User

# Of the advisory lock that makes claims take turns; without it, workers who look at the same moment
# would all see the same owner as the one with the fewest jobs.
_LOCK: Final = 0x6A6F62

# A job that was claimed before (`token`), or is not the first of its evaluation, belongs to an
# evaluation that is under way.
_SQL: Final = """
WITH load AS (
    SELECT owner_id,
           count(*) FILTER (WHERE status = %(running)s AND lease_until >= now()) AS running,
           count(DISTINCT evaluation_id) FILTER (WHERE token > 0 OR kind <> %(first)s) AS begun
    FROM graders_job
    WHERE status = ANY(%(open)s)
    GROUP BY owner_id
), turn AS MATERIALIZED (
    SELECT load.owner_id, load.running,
           load.begun < coalesce(
               quota.running_evaluations,
               CASE WHEN person.is_superuser THEN 2147483647
                    WHEN person.is_trusted THEN %(trusted)s
                    ELSE %(usual)s END
           ) AS may_begin
    FROM load
    JOIN accounts_user AS person ON person.id = load.owner_id
    LEFT JOIN accounts_quota AS quota ON quota.user_id = load.owner_id
)
SELECT job.id
FROM graders_job AS job JOIN turn ON turn.owner_id = job.owner_id
WHERE job.kind = ANY(%(kinds)s)
  AND job.status = ANY(%(open)s)
  AND (
      job.status = %(queued)s AND coalesce(job.not_before <= now(), true)
      OR job.status = %(running)s AND job.lease_until < now()
  )
  AND (job.token > 0 OR job.kind <> %(first)s OR turn.may_begin)
ORDER BY turn.running, job.kind = %(long)s, job.evaluation_id, job.id
LIMIT %(most)s
"""


def fairest(*queues: str) -> Job | None:
    """The job whose turn it is, locked, or None. Called in a transaction; claims take turns."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(f"{_SQL} FOR UPDATE OF job SKIP LOCKED", _parameters(queues, 1))
        found = cursor.fetchone()
    return None if found is None else Job.objects.get(pk=found[0])


def count(queue: str, most: int) -> int:
    """How many jobs of a queue could be claimed now, up to `most`."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL, _parameters([queue], most))
        return len(cursor.fetchall())


def begun(owner: User) -> int:
    """How many evaluations of an owner's environments are under way."""
    jobs = Job.objects.filter(owner=owner, status__in=OPEN_STATUSES)
    started = jobs.filter(Q(token__gt=0) | ~Q(kind=JobKind.BUILD))
    return started.values("evaluation").distinct().count()


def before(evaluation: Evaluation, owner: User) -> int:
    """How many evaluations of its owner wait to begin before this one."""
    waiting = Job.objects.filter(owner=owner, kind=JobKind.BUILD, token=0, status=JobStatus.QUEUED)
    return waiting.filter(evaluation__lt=evaluation.pk).count()


def _parameters(queues: Iterable[str], most: int) -> dict[str, Any]:
    usual, trusted = quotas.defaults("running_evaluations")
    return {
        "kinds": [kind.value for queue in queues for kind in KINDS[queue]],
        "long": JobKind.ROLLOUTS.value,
        "first": JobKind.BUILD.value,
        "open": [status.value for status in OPEN_STATUSES],
        "queued": JobStatus.QUEUED.value,
        "running": JobStatus.RUNNING.value,
        "usual": usual,
        "trusted": trusted,
        "most": most,
    }
