-- Purpose: what an interrupted REINDEX CONCURRENTLY left on a table: invalid indexes named <index>_ccnew or _ccold.
-- Source:  https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
SELECT n.nspname AS schema, c.relname AS name
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid
   AND c.relname ~ '_cc(new|old)[0-9]*$'
   AND i.indrelid IN (pg_catalog.to_regclass(%(relation)s),
                      (SELECT own.indrelid FROM pg_catalog.pg_index own
                        WHERE own.indexrelid = pg_catalog.to_regclass(%(relation)s)))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                     JOIN pg_catalog.pg_stat_progress_create_index p USING (pid)
                    WHERE l.relation = i.indrelid AND l.granted AND l.pid <> pg_catalog.pg_backend_pid())
 ORDER BY c.relname
