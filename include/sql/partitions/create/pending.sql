-- Purpose: of which table a partition is half detached; no row when it is not any more.
SELECT n.nspname AS schema, c.relname AS name, kn.nspname AS partition_schema, k.relname AS partition_name,
       (1000 * extract(epoch FROM current_setting('deadlock_timeout')::interval))::int AS deadlock_timeout_ms
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhparent
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class k ON k.oid = i.inhrelid
  JOIN pg_namespace kn ON kn.oid = k.relnamespace
 WHERE i.inhrelid = %(partition)s AND i.inhdetachpending
