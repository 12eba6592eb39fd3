-- Purpose: bounds are read and written the same way whatever the server's settings are. With row_security off a row that
--          a policy would hide from this role is an error, not a row too few.
SELECT pg_catalog.set_config('TimeZone', 'UTC', false),
       pg_catalog.set_config('DateStyle', 'ISO, YMD', false),
       pg_catalog.set_config('row_security', 'off', false),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),
       pg_catalog.set_config('jit', 'off', false),
       pg_catalog.set_config('default_tablespace', '', false)
