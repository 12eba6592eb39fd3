-- Purpose: the session's own limits in milliseconds, 0 for none: a migration may SET them, and what is stricter than
--          the budget stays. Beside that, the counters of what this session did until now are written out, so that
--          those of the next transaction begin at zero.
-- Privileges: none. Note: asked outside a transaction.
SELECT (EXTRACT(epoch FROM pg_catalog.current_setting('statement_timeout')::pg_catalog.interval)
        * 1000)::pg_catalog.int8 AS statement_timeout,
       (EXTRACT(epoch FROM pg_catalog.current_setting('lock_timeout')::pg_catalog.interval)
        * 1000)::pg_catalog.int8 AS lock_timeout,
       pg_catalog.pg_stat_force_next_flush()
