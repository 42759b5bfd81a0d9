-- A claim of a plain task leaves its body as it was: a body with a token beside it is one claim behind.
ALTER TABLE @task
    ADD COLUMN plain boolean NOT NULL DEFAULT false,
    ADD COLUMN leased_at bigint,
    ADD COLUMN token uuid;
