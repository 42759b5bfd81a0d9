-- Creation sequences and versions of marks.
CREATE SEQUENCE @number;

-- One row for each record there is; never updated.
CREATE TABLE @identity (
    seq bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    parent text COLLATE "C",
    schedule text COLLATE "C",
    tags text[] COLLATE "C",
    created_at bigint NOT NULL
);
CREATE INDEX %identity_name ON @identity (name, seq);
CREATE INDEX %identity_parent ON @identity (parent, seq) WHERE parent IS NOT NULL;
CREATE INDEX %identity_schedule ON @identity (schedule, seq) WHERE schedule IS NOT NULL;
CREATE INDEX %identity_tags ON @identity USING gin (tags) WHERE tags IS NOT NULL;

-- What waits or runs. Times are microseconds since 1970. `ready` is false for what is parked behind a gate, runs, or was
-- set aside.
CREATE TABLE @task (
    seq bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    status smallint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    lane uuid NOT NULL,
    priority smallint NOT NULL,
    run_at bigint NOT NULL,
    ready boolean NOT NULL,
    lease_end bigint,
    worker text COLLATE "C",
    error_group text COLLATE "C",
    body text NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
CREATE INDEX %task_lane ON @task (lane, priority DESC, run_at, seq) WHERE ready;
CREATE INDEX %task_queue ON @task (queue, priority DESC, run_at, seq) WHERE ready;
CREATE INDEX %task_lease ON @task (lease_end) WHERE lease_end IS NOT NULL;

-- What has ended.
CREATE TABLE @ended (
    seq bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    status smallint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    error_group text COLLATE "C",
    finished_at bigint NOT NULL,
    body text NOT NULL
);
CREATE INDEX %ended_finished ON @ended (finished_at, seq);
CREATE INDEX %ended_failed ON @ended (status, seq) WHERE status > 2;

-- How many records there are, as sums of changes that upkeep folds together: writers never wait for each other here.
CREATE TABLE @tally (
    line bytea NOT NULL,
    queue text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    status smallint NOT NULL,
    n bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Everything else by its key: marks, owners of unique keys, streams, holders of gates and what is parked behind them.
CREATE TABLE @entry (
    k bytea PRIMARY KEY,
    v bytea NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

CREATE VIEW @tasks AS
    SELECT i.id, i.seq, (ARRAY['pending', 'running', 'succeeded', 'failed', 'cancelled'])[coalesce(t.status, e.status) + 1] AS status,
           coalesce(t.queue, e.queue) AS queue, i.name, coalesce(t.error_group, e.error_group) AS error_group,
           i.parent, i.schedule, i.tags, to_timestamp(i.created_at / 1e6) AS created_at, t.worker,
           to_timestamp(t.run_at / 1e6) AS run_at, to_timestamp(t.lease_end / 1e6) AS lease_until,
           to_timestamp(e.finished_at / 1e6) AS finished_at, coalesce(t.body, e.body) AS record
    FROM @identity i LEFT JOIN @task t ON t.seq = i.seq LEFT JOIN @ended e ON e.seq = i.seq;
