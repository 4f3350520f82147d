-- Version 5. Calls of language models, one row each, written when the call has ended.

CREATE TABLE model_calls (
  id            INTEGER PRIMARY KEY,
  run           BLOB    NOT NULL REFERENCES runs (id),
  task          INTEGER NOT NULL REFERENCES tasks (id),
  stage         TEXT    NOT NULL,
  producer      TEXT    NOT NULL,
  role          TEXT    NOT NULL,
  answer        TEXT    NOT NULL,             -- 'ok', or the failure's code
  tokens_in     INTEGER NOT NULL,
  tokens_out    INTEGER NOT NULL,
  cache_read    INTEGER NOT NULL,
  cache_write   INTEGER NOT NULL,
  cost          INTEGER,                      -- in millionths of a US dollar; NULL where nobody said
  duration      INTEGER NOT NULL,
  at            INTEGER NOT NULL
) STRICT;

-- A budget is asked for before each call.
CREATE INDEX model_calls_by_task ON model_calls (task, at, cost);
CREATE INDEX model_calls_by_time ON model_calls (at, cost);
