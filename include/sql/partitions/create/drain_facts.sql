-- Purpose: whether rows can leave DEFAULT unnoticed: a delete would fire its triggers, those of foreign keys that lead to
--          it too (ON DELETE CASCADE!). session_replication_role = replica keeps them asleep, but not those that are
--          ENABLE ALWAYS or REPLICA.
-- Note:    has_parameter_privilege is there from PostgreSQL 15 on. Column names: those that are stored, not computed.
SELECT coalesce(has_parameter_privilege('session_replication_role', 'SET'), false) AS may_replicate,
       count(*) FILTER (WHERE t.tgenabled IN ('O', 'A')) AS fires,
       count(*) FILTER (WHERE t.tgenabled IN ('R', 'A')) AS fires_always,
       ARRAY(SELECT a.attname FROM pg_attribute a
              WHERE a.attrelid = %(default)s::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum) AS columns
  FROM pg_trigger t
 WHERE t.tgrelid IN (SELECT relid FROM pg_partition_tree(%(default)s::oid::regclass))
   AND t.tgtype & 8 <> 0
