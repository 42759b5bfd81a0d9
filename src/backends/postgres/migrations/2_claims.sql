-- A claim of a plain task leaves its body as it was: a body with a token beside it is one claim behind.
ALTER TABLE @task
    ADD COLUMN plain boolean NOT NULL DEFAULT false,
    ADD COLUMN leased_at bigint,
    ADD COLUMN token uuid;

CREATE OR REPLACE VIEW @tasks AS
    SELECT i.id, i.seq, (ARRAY['pending', 'running', 'succeeded', 'failed', 'cancelled'])[coalesce(t.status, e.status) + 1] AS status,
           coalesce(t.queue, e.queue) AS queue, i.name, coalesce(t.error_group, e.error_group) AS error_group,
           i.parent, i.schedule, i.tags, to_timestamp(i.created_at / 1e6) AS created_at, t.worker,
           to_timestamp(t.run_at / 1e6) AS run_at, to_timestamp(t.lease_end / 1e6) AS lease_until,
           to_timestamp(e.finished_at / 1e6) AS finished_at,
           CASE WHEN t.token IS NULL THEN coalesce(t.body, e.body)
                -- Of two fields of one name the last counts.
                ELSE left(t.body, -1) || ',"status":"running","attempt":' || (t.body::json ->> 'attempt')::bigint + 1
                    || ',"started_at":"' || to_char(to_timestamp(t.leased_at / 1e6) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                    || '","lease":{"worker":' || to_json(t.worker)
                    || ',"until":"' || to_char(to_timestamp(t.lease_end / 1e6) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                    || '"},"revision":' || (t.body::json ->> 'revision')::bigint + 1 || '}'
           END AS record
    FROM @identity i LEFT JOIN @task t ON t.seq = i.seq LEFT JOIN @ended e ON e.seq = i.seq;
