-- Version 4: the same table of jobs, with its states compared one by one.
--
-- SQLite makes a set of the values of an `IN (...)` with more than two, for every statement that asks, a b-tree of its own.
-- The check of a job's state and the two partial indexes of live jobs asked so at each write of a job: a fifth of the
-- writer's time (docs/adr/0021-what-a-transition-asks-of-sqlite.md). A few comparisons cost next to nothing.

CREATE TABLE jobs_compared (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  stage         TEXT    NOT NULL,
  commit_id     TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (
                  state = 'queued' OR state = 'running' OR state = 'deferred' OR state = 'held' OR state = 'finished' OR
                  state = 'done' OR state = 'failed' OR state = 'cancelled' OR state = 'superseded'),
  due           INTEGER NOT NULL,             -- when a queued, deferred or finished job may be taken
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

INSERT INTO jobs_compared (id, task, stage, commit_id, state, due, run, instance, producer, epoch, since, deferrals,
                           attempt, fault, created, updated)
  SELECT id, task, stage, commit_id, state, due, run, instance, producer, epoch, since, deferrals,
         attempt, fault, created, updated
  FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_compared RENAME TO jobs;

-- Live is what has not ended. Said by what it is not, so that SQLite takes these two indexes only for a question in the very
-- same words, and not for one about a single live state, which has a better index.
-- J1: at most one live job a task. `finished` is live: its work has ended, its transition has not.
CREATE UNIQUE INDEX jobs_one_live ON jobs (task)
  WHERE state <> 'done' AND state <> 'failed' AND state <> 'cancelled' AND state <> 'superseded';
-- What a worker may claim, oldest first within a stage. Partial, so ended jobs cost nothing here (B6).
CREATE INDEX jobs_due ON jobs (stage, due, id) WHERE state = 'queued' OR state = 'deferred';
CREATE INDEX jobs_running ON jobs (instance, producer) WHERE state = 'running';
-- What a finalizer may take, oldest first.
CREATE INDEX jobs_finished ON jobs (due, id) WHERE state = 'finished';
CREATE INDEX jobs_by_task ON jobs (task, stage, created);
-- Counts and pages of live jobs by state, for those who watch.
CREATE INDEX jobs_live_by_state ON jobs (state)
  WHERE state <> 'done' AND state <> 'failed' AND state <> 'cancelled' AND state <> 'superseded';
