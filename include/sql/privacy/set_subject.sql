-- Purpose: tell the session whom it is about. Every other statement reads the key from this setting: so it stands in
--          no statement that pg_stat_activity or the server's log shows, and it can be no SQL.
SELECT pg_catalog.set_config('pgops.subject', %(key)s, false) IS NOT NULL
