-- Purpose: where a database keeps its backfills. It lies in the target because a batch and its checkpoint commit
--          together. An unfinished job owns its table: nobody else may backfill it.
-- Privileges: CREATE on the schema pgops.
CREATE TABLE IF NOT EXISTS pgops.backfill_jobs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spec_hash     text NOT NULL,
    table_oid     bigint NOT NULL,
    table_name    text NOT NULL,
    spec          jsonb NOT NULL,
    parts         jsonb NOT NULL,
    max_key       jsonb NOT NULL,
    rows_estimate bigint NOT NULL,
    status        text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'failed', 'done', 'cancelled')),
    desired       text NOT NULL DEFAULT 'run' CHECK (desired IN ('run', 'pause', 'cancel')),
    speed         double precision NOT NULL DEFAULT 1 CHECK (speed > 0 AND speed <= 100),
    created_by    text NOT NULL,
    dag_run       text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    error         text NOT NULL DEFAULT '',
    stalled_since timestamptz,
    CHECK ((finished_at IS NOT NULL) = (status IN ('done', 'cancelled')))
);
ALTER TABLE pgops.backfill_jobs ADD COLUMN IF NOT EXISTS stalled_since timestamptz;
COMMENT ON COLUMN pgops.backfill_jobs.stalled_since IS 'Set once it was said that it stands still; cleared by whoever goes on.';
CREATE UNIQUE INDEX IF NOT EXISTS backfill_jobs_unfinished ON pgops.backfill_jobs (table_oid) WHERE finished_at IS NULL;
COMMENT ON TABLE pgops.backfill_jobs IS 'Backfills, one row each. Set desired (run, pause, cancel) or speed to steer it.';
CREATE TABLE IF NOT EXISTS pgops.backfill_ranges (
    job            bigint NOT NULL REFERENCES pgops.backfill_jobs ON DELETE CASCADE,
    n              integer NOT NULL,
    part           bigint NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('keys', 'pages', 'rest')),
    lo             jsonb,
    hi             jsonb,
    pass           integer NOT NULL DEFAULT 0,
    last_key       jsonb,
    pass_rows      bigint NOT NULL DEFAULT 0,
    left_behind    boolean NOT NULL DEFAULT false,
    units_estimate bigint NOT NULL,
    units          bigint NOT NULL DEFAULT 0,
    rows_done      bigint NOT NULL DEFAULT 0,
    batches        bigint NOT NULL DEFAULT 0,
    retries        bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    done           boolean NOT NULL DEFAULT false,
    worker         text NOT NULL DEFAULT '',
    waiting        text NOT NULL DEFAULT '',
    heartbeat      timestamptz,
    PRIMARY KEY (job, n)
) WITH (fillfactor = 50);
COMMENT ON TABLE pgops.backfill_ranges IS 'The checkpoints of backfills; each commits together with the rows it stands for.';
CREATE TABLE IF NOT EXISTS pgops.backfill_batches (
    job       bigint NOT NULL REFERENCES pgops.backfill_jobs ON DELETE CASCADE,
    n         integer NOT NULL,
    seq       bigint NOT NULL,
    rows      bigint NOT NULL,
    units     bigint NOT NULL,
    ms        double precision NOT NULL,
    waited_ms double precision NOT NULL,
    reason    text NOT NULL DEFAULT '',
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, n, seq)
);
COMMENT ON TABLE pgops.backfill_batches IS 'The newest batches of each range: what they took, and how long they had to wait.';
CREATE TABLE IF NOT EXISTS pgops.backfill_skipped (
    job      bigint NOT NULL REFERENCES pgops.backfill_jobs ON DELETE CASCADE,
    part     bigint NOT NULL,
    key      jsonb NOT NULL,
    sqlstate text NOT NULL,
    message  text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, part, key)
);
COMMENT ON TABLE pgops.backfill_skipped IS 'Rows that a backfill could not change, and why: somebody has to look at them.'
