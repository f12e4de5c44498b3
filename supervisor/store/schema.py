"""Version 1 of the database, statement by statement. A released version is never edited: a change is a migration.

The constraints repeat what the code promises, so that a defect in the code is an error and not a wrong row:
states move only as `core.state.TRANSITIONS` allows, a job has one running attempt at most, an ended attempt is
never changed, and `counters` is always what a count of `jobs` would say.
"""

from __future__ import annotations

from typing import Final

TABLES: Final = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        request_hash TEXT NOT NULL,
        owner_uid INTEGER NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL CHECK (type <> ''),
        queue TEXT NOT NULL CHECK (queue <> ''),
        priority INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
        state TEXT NOT NULL CHECK (state IN ('scheduled', 'queued', 'running', 'completed', 'failed', 'cancelled')),
        due_us INTEGER NOT NULL CHECK (due_us BETWEEN 0 AND 253402300799999999),
        submitted_us INTEGER NOT NULL,
        started_us INTEGER,
        finished_us INTEGER,
        retries INTEGER NOT NULL CHECK (retries >= 0),
        failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
        losses INTEGER NOT NULL DEFAULT 0 CHECK (losses >= 0),
        on_loss TEXT NOT NULL CHECK (on_loss IN ('requeue', 'fail')),
        attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
        lease INTEGER,
        cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
        cancel_reason TEXT,
        cancelled_by INTEGER,
        reason TEXT,
        message TEXT,
        exit_code INTEGER,
        signal TEXT,
        progress TEXT,
        unique_key TEXT,
        waits INTEGER NOT NULL DEFAULT 0 CHECK (waits >= 0),
        spec TEXT NOT NULL,
        CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_us IS NOT NULL)),
        CHECK (finished_us IS NULL OR reason IS NOT NULL),
        CHECK ((state = 'running') = (lease IS NOT NULL)),
        CHECK (state <> 'running' OR (attempt >= 1 AND started_us IS NOT NULL)),
        CHECK (waits = 0 OR state = 'scheduled'),
        CHECK (cancel_requested = 0 OR state IN ('running', 'cancelled')),
        CHECK (state <> 'cancelled' OR reason IN ('cancelled', 'dependency')),
        CHECK (state <> 'completed' OR reason = 'ok')
    ) STRICT
    """,
    """
    CREATE TABLE attempts (
        lease INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL CHECK (number >= 1),
        worker TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'ended')),
        isolation TEXT,
        reason TEXT,
        message TEXT,
        evidence TEXT CHECK (evidence IN ('exact', 'inferred', 'text')),
        exit_code INTEGER,
        signal TEXT,
        started_us INTEGER NOT NULL,
        finished_us INTEGER,
        wall_s REAL,
        cpu_s REAL,
        peak_memory_bytes INTEGER,
        stdout_bytes INTEGER,
        stderr_bytes INTEGER,
        leftover_killed INTEGER,
        truncated INTEGER CHECK (truncated IN (0, 1)),
        artifacts INTEGER,
        enforced TEXT,
        UNIQUE (job, number),
        CHECK ((state = 'ended') = (reason IS NOT NULL)),
        CHECK ((state = 'ended') = (message IS NOT NULL)),
        CHECK ((state = 'ended') = (evidence IS NOT NULL)),
        CHECK ((state = 'ended') = (finished_us IS NOT NULL)),
        CHECK (exit_code IS NULL OR signal IS NULL),
        CHECK (reason IS NOT 'ok' OR signal IS NULL)
    ) STRICT
    """,
    """
    CREATE TABLE results (
        job INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        value TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE contents (
        sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),
        size INTEGER NOT NULL CHECK (size = length(data) AND size <= 262144),
        data BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE job_contents (
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (job, sha256)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE dependencies (
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        on_job INTEGER NOT NULL REFERENCES jobs (id),
        condition TEXT NOT NULL CHECK (condition IN ('ok', 'any', 'fail')),
        PRIMARY KEY (job, on_job)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE declines (
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        pool TEXT NOT NULL CHECK (pool <> ''),
        PRIMARY KEY (job, pool)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE queues (
        name TEXT PRIMARY KEY CHECK (name <> ''),
        paused_us INTEGER NOT NULL,
        paused_by INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE workers (
        name TEXT PRIMARY KEY,
        pool TEXT NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        busy_s REAL NOT NULL DEFAULT 0,
        restarts INTEGER NOT NULL DEFAULT 0,
        reasons TEXT NOT NULL DEFAULT '{}'
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER REFERENCES jobs (id) ON DELETE CASCADE,
        at_us INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind <> ''),
        state TEXT CHECK ((state IS NULL) = (job IS NULL)),
        attempt INTEGER,
        data TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE counters (
        state TEXT NOT NULL,
        queue TEXT NOT NULL,
        n INTEGER NOT NULL CHECK (n >= 0),
        PRIMARY KEY (state, queue)
    ) STRICT, WITHOUT ROWID
    """,
)

INDEXES: Final = (
    "CREATE INDEX jobs_claim ON jobs (queue, type, priority DESC, due_us, id) WHERE state = 'queued'",
    "CREATE INDEX jobs_due ON jobs (due_us) WHERE state = 'scheduled' AND waits = 0",
    "CREATE INDEX jobs_state ON jobs (state, id)",
    "CREATE INDEX jobs_finished ON jobs (state, finished_us) WHERE finished_us IS NOT NULL",
    "CREATE UNIQUE INDEX jobs_unique ON jobs (queue, unique_key) "
    "WHERE unique_key IS NOT NULL AND state IN ('scheduled', 'queued', 'running')",
    "CREATE INDEX job_contents_sha256 ON job_contents (sha256)",
    "CREATE INDEX dependencies_on_job ON dependencies (on_job)",
    "CREATE UNIQUE INDEX attempts_one_running ON attempts (job) WHERE state = 'running'",
    "CREATE INDEX attempts_incarnation ON attempts (incarnation) WHERE state = 'running'",
    "CREATE INDEX events_job ON events (job, id)",
)

TRIGGERS: Final = (
    """
    CREATE TRIGGER jobs_begin BEFORE INSERT ON jobs WHEN NEW.state NOT IN ('queued', 'scheduled')
    BEGIN SELECT RAISE(ABORT, 'a job begins queued or scheduled'); END
    """,
    """
    CREATE TRIGGER jobs_move BEFORE UPDATE OF state ON jobs
    WHEN OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'scheduled>queued', 'scheduled>cancelled', 'queued>running', 'queued>cancelled', 'running>completed',
        'running>failed', 'running>cancelled', 'running>scheduled', 'running>queued', 'completed>queued',
        'failed>queued', 'cancelled>queued')
    BEGIN SELECT RAISE(ABORT, 'a job cannot move this way'); END
    """,
    """
    CREATE TRIGGER jobs_keep BEFORE DELETE ON jobs WHEN OLD.state = 'running'
    BEGIN SELECT RAISE(ABORT, 'a running job is never deleted'); END
    """,
    """
    CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs BEGIN
        INSERT INTO counters (state, queue, n) VALUES (NEW.state, NEW.queue, 1)
            ON CONFLICT (state, queue) DO UPDATE SET n = n + 1;
    END
    """,
    """
    CREATE TRIGGER jobs_count_moved AFTER UPDATE OF state, queue ON jobs
    WHEN OLD.state <> NEW.state OR OLD.queue <> NEW.queue BEGIN
        UPDATE counters SET n = n - 1 WHERE state = OLD.state AND queue = OLD.queue;
        INSERT INTO counters (state, queue, n) VALUES (NEW.state, NEW.queue, 1)
            ON CONFLICT (state, queue) DO UPDATE SET n = n + 1;
    END
    """,
    """
    CREATE TRIGGER jobs_count_gone AFTER DELETE ON jobs BEGIN
        UPDATE counters SET n = n - 1 WHERE state = OLD.state AND queue = OLD.queue;
    END
    """,
    """
    CREATE TRIGGER attempts_begin BEFORE INSERT ON attempts WHEN NEW.state <> 'running'
    BEGIN SELECT RAISE(ABORT, 'an attempt begins running'); END
    """,
    """
    CREATE TRIGGER attempts_final BEFORE UPDATE ON attempts WHEN OLD.state = 'ended'
    BEGIN SELECT RAISE(ABORT, 'an ended attempt is never changed'); END
    """,
    """
    CREATE TRIGGER attempts_keep BEFORE DELETE ON attempts
    WHEN OLD.state = 'ended' AND EXISTS (SELECT 1 FROM jobs WHERE id = OLD.job)
    BEGIN SELECT RAISE(ABORT, 'an ended attempt is kept as long as its job'); END
    """,
)

VERSION_1: Final = (*TABLES, *INDEXES, *TRIGGERS)
