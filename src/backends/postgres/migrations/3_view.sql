-- Bodies as they are: what a claim left beside one stands in the columns before it.
CREATE OR REPLACE VIEW @tasks AS
    SELECT i.id, i.seq, (ARRAY['pending', 'running', 'succeeded', 'failed', 'cancelled'])[coalesce(t.status, e.status) + 1] AS status,
           coalesce(t.queue, e.queue) AS queue, i.name, coalesce(t.error_group, e.error_group) AS error_group,
           i.parent, i.schedule, i.tags, to_timestamp(i.created_at / 1e6) AS created_at, t.worker,
           to_timestamp(t.run_at / 1e6) AS run_at, to_timestamp(t.lease_end / 1e6) AS lease_until,
           to_timestamp(e.finished_at / 1e6) AS finished_at, coalesce(t.body, e.body) AS record
    FROM @identity i LEFT JOIN @task t ON t.seq = i.seq LEFT JOIN @ended e ON e.seq = i.seq;
