-- Purpose: how long a step's session may wait for a lock, and how long a statement may take; 0 is without end.
SELECT pg_catalog.set_config('lock_timeout', %(lock_ms)s::text, false),
       pg_catalog.set_config('statement_timeout', %(statement_ms)s::text, false)
