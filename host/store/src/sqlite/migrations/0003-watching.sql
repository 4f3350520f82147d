-- Version 3: what a watcher asks again and again, answered without a walk through everything that has ended.

-- Counts and pages of live jobs by state. Partial, so ended jobs cost nothing here; the table's key, the id, comes with it.
CREATE INDEX jobs_live_by_state ON jobs (state)
  WHERE state IN ('queued', 'running', 'deferred', 'held', 'finished');
