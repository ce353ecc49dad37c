"""What the fault run puts into the database to see who writes, and to stretch a commit.

The database itself keeps a record, in the writing transaction, of every claim and of every write
that only a job's holder may make. A write is *guarded* if its transaction holds the lock on the
row of its job, which is running. A write is *stale* if the session that made it had claimed the
job with another token than the row has now. Sessions are told apart by process and start, since
the numbers of processes come again.
"""

from dataclasses import dataclass

from tests.faults.stack import World

SCHEMA = """
CREATE TABLE faults_switch (slow boolean NOT NULL);
INSERT INTO faults_switch VALUES (false);
CREATE TABLE faults_holder (
    session text PRIMARY KEY, job bigint NOT NULL, token integer NOT NULL
);
CREATE TABLE faults_write (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL, job bigint, guarded boolean NOT NULL,
    held integer, current integer
);

CREATE FUNCTION faults_session() RETURNS text LANGUAGE sql AS $$
    SELECT pid || ' ' || backend_start FROM pg_stat_get_activity(pg_backend_pid())
$$;

CREATE FUNCTION faults_claimed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults_holder VALUES (faults_session(), NEW.id, NEW.token)
    ON CONFLICT (session) DO UPDATE SET job = NEW.id, token = NEW.token;
    RETURN NULL;
END $$;
CREATE TRIGGER faults_claimed AFTER UPDATE OF token ON graders_job
    FOR EACH ROW WHEN (NEW.token > OLD.token) EXECUTE FUNCTION faults_claimed();

CREATE FUNCTION faults_note(written text, of_job bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    mine text := pg_current_xact_id()::xid::text;
    row record;
    holder record;
BEGIN
    SELECT status, token, xmin::text AS made, xmax::text AS locked INTO row
        FROM graders_job WHERE id = of_job;
    SELECT token INTO holder
        FROM faults_holder WHERE session = faults_session() AND job = of_job;
    INSERT INTO faults_write (what, job, guarded, held, current) VALUES (
        written, of_job,
        coalesce(row.made = mine OR (row.locked = mine AND row.status = 'running'), false),
        holder.token, row.token
    );
END $$;

CREATE FUNCTION faults_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM faults_note('job ' || NEW.status, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER faults_ended AFTER UPDATE OF status ON graders_job FOR EACH ROW
    WHEN (OLD.status = 'running' AND NEW.status IN ('done', 'failed', 'dead', 'queued'))
    EXECUTE FUNCTION faults_ended();

CREATE FUNCTION faults_measured() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM faults_note('rollout', (
        SELECT job.id FROM graders_task task
        JOIN graders_evaluation evaluation ON evaluation.id = task.evaluation_id
        JOIN graders_profile profile ON profile.id = evaluation.profile_id
        JOIN graders_job job ON job.evaluation_id = evaluation.id AND job.kind = 'rollouts'
            AND job.shard = task.position / profile.shard_tasks
        WHERE task.id = NEW.task_id
    ));
    RETURN NULL;
END $$;
CREATE TRIGGER faults_measured AFTER INSERT ON graders_rollout
    FOR EACH ROW EXECUTE FUNCTION faults_measured();

CREATE FUNCTION faults_inspected() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM faults_note('task', (
        SELECT id FROM graders_job WHERE evaluation_id = NEW.evaluation_id AND kind = 'inspect'
    ));
    RETURN NULL;
END $$;
CREATE TRIGGER faults_inspected AFTER INSERT ON graders_task
    FOR EACH ROW EXECUTE FUNCTION faults_inspected();

CREATE FUNCTION faults_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM faults_note('evaluation done', (
        SELECT id FROM graders_job WHERE evaluation_id = NEW.id AND kind = 'summarise'
    ));
    RETURN NULL;
END $$;
CREATE TRIGGER faults_published AFTER UPDATE OF stage ON graders_evaluation
    FOR EACH ROW WHEN (NEW.stage = 'done') EXECUTE FUNCTION faults_published();

CREATE FUNCTION faults_dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT slow FROM faults_switch) THEN PERFORM pg_sleep(0.5); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER faults_dawdle AFTER INSERT ON audit_event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION faults_dawdle();
"""


@dataclass(frozen=True)
class Writes:
    """What the database saw: writes in all, those of a stale token, those without the lock.

    `unknown` were made by sessions that had not claimed the job themselves: after the database
    was restarted a worker goes on in a new session, where the lock alone tells.
    """

    seen: int
    unknown: int
    stale: list[str]
    unguarded: list[str]


def install(world: World) -> None:
    """Puts the witness in place."""
    with world.database() as db:
        db.execute(SCHEMA)


def stretch_commits(world: World, *, slow: bool) -> bool:
    """Lets every commit of an audited act take half a second, or no longer."""
    return world.execute(f"UPDATE faults_switch SET slow = {slow}")


def is_committing(world: World) -> bool:
    """Whether a transaction is in the middle of its stretched commit."""
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query ILIKE 'commit%'"
    return bool(world.rows(query))


def writes(world: World) -> Writes:
    """What was seen so far."""
    rows = world.rows("SELECT what, job, guarded, held, current FROM faults_write ORDER BY id")
    assert rows is not None
    stale = [
        f"{what} of job {job}: the writer held token {held}, the row had {current}"
        for what, job, _, held, current in rows
        if held is not None and held != current
    ]
    unguarded = [f"{what} of job {job}" for what, job, guarded, *_ in rows if not guarded]
    return Writes(len(rows), sum(row[3] is None for row in rows), stale, unguarded)
