-- Version 2. Effects belong to the finished job whose transition they are done for, and say who intended them last;
-- leases say whether effects are done under them; a finished job can be put off.

-- No program of version 1 did effects, so the journal is empty and can be made anew.
DROP TABLE effects;

CREATE TABLE effects (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  job           BLOB    NOT NULL REFERENCES jobs (id),
  owner         BLOB    NOT NULL REFERENCES instances (id), -- who intended it last
  epoch         INTEGER NOT NULL,                           -- of the lease under which it was intended last
  idempotency   TEXT    NOT NULL UNIQUE,
  state         TEXT    NOT NULL CHECK (state IN ('intended', 'done', 'failed', 'unresolved')),
  name          TEXT    NOT NULL,
  class         TEXT    NOT NULL CHECK (class IN ('conditional', 'keyed', 'observable', 'blind')),
  detail        TEXT    NOT NULL,
  answer        TEXT,                                       -- the result, or why it failed or is unresolved
  intended      INTEGER NOT NULL,
  settled       INTEGER,
  CHECK ((state = 'intended') = (answer IS NULL AND settled IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX effects_by_task ON effects (task, intended);
CREATE INDEX effects_by_job ON effects (job);
CREATE INDEX effects_open ON effects (task) WHERE state = 'intended';
CREATE INDEX effects_unresolved ON effects (intended) WHERE state = 'unresolved';

ALTER TABLE leases ADD COLUMN exclusive INTEGER NOT NULL DEFAULT 0 CHECK (exclusive IN (0, 1));

-- What a finalizer may take, oldest first.
DROP INDEX jobs_finished;
CREATE INDEX jobs_finished ON jobs (due, id) WHERE state = 'finished';
