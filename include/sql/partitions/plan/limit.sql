-- Purpose: how long one look into a table's rows may take.
SELECT pg_catalog.set_config('statement_timeout', %(milliseconds)s::text, false)
