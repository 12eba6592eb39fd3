-- Purpose: tell the session which value is looked for. Statements read it from this setting: so it stands in none that
--          pg_stat_activity or the server's log shows, and it can be no SQL.
SELECT pg_catalog.set_config('pgops.value', %(value)s, false) IS NOT NULL
