-- Every row of the store. A key starts with one byte that names its table, and words in it are hashed with XXH3;
-- see src/store/kv/keys.rs.
CREATE TABLE rows (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;

-- For people with a SQLite shell: SELECT id, name, status FROM tasks WHERE status = 'failed';
CREATE VIEW tasks AS
SELECT
  record ->> 'id' AS id,
  record ->> 'name' AS name,
  record ->> 'queue' AS queue,
  record ->> 'status' AS status,
  record ->> 'priority' AS priority,
  record ->> 'run_at' AS run_at,
  record ->> 'created_at' AS created_at,
  record ->> 'started_at' AS started_at,
  record ->> 'finished_at' AS finished_at,
  record ->> 'attempt' AS attempt,
  record ->> 'max_attempts' AS max_attempts,
  record ->> '$.lease.worker' AS worker,
  record ->> '$.lease.until' AS lease_until,
  record ->> '$.parked.gate' AS parked_behind,
  record ->> 'schedule' AS schedule,
  record ->> 'error' AS error,
  record -> 'args' AS args,
  record -> 'result' AS result,
  record ->> 'seq' AS seq,
  record
FROM (SELECT CAST(v AS TEXT) AS record FROM rows WHERE k >= x'74' AND k < x'75');
