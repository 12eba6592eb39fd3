-- Purpose: a look at rows may take so long, no longer; then it is not known.
SELECT pg_catalog.set_config('statement_timeout', %(milliseconds)s::text, false)
