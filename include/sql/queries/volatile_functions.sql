-- Purpose: functions that a statement or its plan names and that may do more than read: every volatile one but those
--          that only look at a clock or at chance.
SELECT DISTINCT format('%%I.%%I', n.nspname, p.proname)
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.proname = ANY (%(functions)s) AND p.provolatile = 'v'
   AND NOT (n.nspname = 'pg_catalog'
            AND p.proname IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7'))
 ORDER BY 1
