-- Version 1. A published migration is never changed; the next one is added beside it.
--
-- Ids of instances, jobs, runs and effects are UUIDs as 16 bytes. Times are milliseconds since 1970 (UTC).
-- JSON columns hold what is only ever read whole. What a rule depends on has a column of its own.

PRAGMA application_id = 0x53574731; -- "SWG1"

CREATE TABLE instances (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  facts         TEXT    NOT NULL CHECK (json_valid(facts)),
  started       INTEGER NOT NULL,
  retired       INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE repos (
  name          TEXT    NOT NULL PRIMARY KEY,
  source        BLOB    NOT NULL,             -- a path; not always UTF-8
  created       INTEGER NOT NULL,
  updated       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
  id            INTEGER PRIMARY KEY,
  repo          TEXT    NOT NULL REFERENCES repos (name),
  work_item     TEXT    NOT NULL,
  stage         TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('active', 'held', 'done', 'cancelled')),
  hold          TEXT    CHECK (hold IS NULL OR json_valid(hold)),
  epoch         INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  branch        TEXT    NOT NULL,
  examined      TEXT,
  head          TEXT,
  attempts      INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  created       INTEGER NOT NULL,
  updated       INTEGER NOT NULL,
  UNIQUE (repo, work_item),
  CHECK ((state = 'held') = (hold IS NOT NULL))
) STRICT;

CREATE INDEX tasks_by_state ON tasks (state, repo, work_item);
CREATE INDEX tasks_by_branch ON tasks (repo, branch);

-- O4: the epoch is never deleted and only grows, whatever a later program does.
CREATE TRIGGER tasks_epoch_only_grows BEFORE UPDATE OF epoch ON tasks WHEN NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'a task''s epoch only grows'); END;
CREATE TRIGGER tasks_are_kept BEFORE DELETE ON tasks
BEGIN SELECT RAISE(ABORT, 'tasks are never deleted'); END;
-- O1: no stage is written without raising the epoch with it.
CREATE TRIGGER tasks_stage_raises_epoch BEFORE UPDATE OF stage ON tasks WHEN NEW.epoch <= OLD.epoch
BEGIN SELECT RAISE(ABORT, 'a stage is written together with a higher epoch'); END;

CREATE TABLE verdicts (
  task          INTEGER NOT NULL REFERENCES tasks (id),
  stage         TEXT    NOT NULL,
  verdict       TEXT    NOT NULL CHECK (json_valid(verdict)),
  PRIMARY KEY (task, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  stage         TEXT    NOT NULL,
  commit_id     TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN
                  ('queued', 'running', 'deferred', 'held', 'finished', 'done', 'failed', 'cancelled', 'superseded')),
  due           INTEGER NOT NULL,             -- when a queued or deferred job may be claimed
  run           BLOB,                         -- the running or the last run
  instance      BLOB,                         -- who has it, while it runs
  producer      TEXT,                         -- whose limit it counts against, while it runs
  epoch         INTEGER,                      -- the task's epoch at the claim, while it runs
  since         INTEGER,                      -- the claim's time, while it runs
  deferrals     INTEGER NOT NULL DEFAULT 0,
  attempt       INTEGER NOT NULL,
  fault         TEXT    CHECK (fault IS NULL OR json_valid(fault)),
  created       INTEGER NOT NULL,
  updated       INTEGER NOT NULL,
  CHECK ((state = 'running') = (instance IS NOT NULL AND epoch IS NOT NULL AND since IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- J1: at most one live job a task. `finished` is live: its work has ended, its transition has not.
CREATE UNIQUE INDEX jobs_one_live ON jobs (task)
  WHERE state IN ('queued', 'running', 'deferred', 'held', 'finished');
-- What a worker may claim, oldest first within a stage. Partial, so ended jobs cost nothing here (B6).
CREATE INDEX jobs_due ON jobs (stage, due, id) WHERE state IN ('queued', 'deferred');
CREATE INDEX jobs_running ON jobs (instance, producer) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (updated) WHERE state = 'finished';
CREATE INDEX jobs_by_task ON jobs (task, stage, created);

CREATE TABLE runs (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  job           BLOB    NOT NULL REFERENCES jobs (id),
  instance      BLOB    NOT NULL REFERENCES instances (id),
  epoch         INTEGER NOT NULL,
  started       INTEGER NOT NULL,
  ended         INTEGER,
  outcome       TEXT    CHECK (outcome IS NULL OR json_valid(outcome)),
  ledger        TEXT    CHECK (ledger IS NULL OR json_valid(ledger)),
  attachments   TEXT    CHECK (attachments IS NULL OR json_valid(attachments))
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_by_job ON runs (job, started);

CREATE TABLE artifacts (
  run           BLOB    NOT NULL PRIMARY KEY REFERENCES runs (id),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  stage         TEXT    NOT NULL,
  path          TEXT    NOT NULL,
  sha256        TEXT    NOT NULL,
  made          INTEGER NOT NULL,
  bytes         BLOB    NOT NULL
) STRICT;

CREATE INDEX artifacts_by_stage ON artifacts (task, stage, made);

CREATE TABLE leases (
  task          INTEGER NOT NULL PRIMARY KEY REFERENCES tasks (id),
  owner         BLOB    NOT NULL REFERENCES instances (id),
  stage         TEXT    NOT NULL,
  epoch         INTEGER NOT NULL,
  taken         INTEGER NOT NULL
) STRICT;

CREATE INDEX leases_by_owner ON leases (owner);

CREATE TABLE effects (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  epoch         INTEGER NOT NULL,             -- of the lease under which it was intended
  idempotency   TEXT    NOT NULL UNIQUE,
  state         TEXT    NOT NULL CHECK (state IN ('intended', 'done', 'failed', 'unresolved')),
  name          TEXT    NOT NULL,
  class         TEXT    NOT NULL,
  detail        TEXT    NOT NULL CHECK (json_valid(detail)),
  answer        TEXT,                         -- the result, or why it failed or is unresolved
  intended      INTEGER NOT NULL,
  settled       INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX effects_by_task ON effects (task, intended);
CREATE INDEX effects_open ON effects (task) WHERE state = 'intended';

-- The append-only log. `batch` is a random number that the events of one commit share: it tells a writer
-- that has lost a COMMIT's answer whether that commit took place.
CREATE TABLE events (
  seq           INTEGER PRIMARY KEY,
  at            INTEGER NOT NULL,
  kind          TEXT    NOT NULL,
  task          INTEGER REFERENCES tasks (id),
  job           BLOB,
  run           BLOB,
  epoch         INTEGER,
  detail        TEXT    NOT NULL CHECK (json_valid(detail)),
  batch         INTEGER NOT NULL
) STRICT;

CREATE INDEX events_by_task ON events (task, seq) WHERE task IS NOT NULL;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
CREATE TRIGGER events_stay_as_written BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
