-- Purpose: what bears the index's name: an index as it is wanted, valid or not, one that is just being built, or
--          something else.
-- Note:    an index that is being built looks invalid; its builder stands in pg_stat_progress_create_index.
SELECT coalesce(i.indrelid = %(oid)s::oid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = 1
                AND i.indkey[0] = (SELECT a.attnum FROM pg_catalog.pg_attribute a
                                    WHERE a.attrelid = i.indrelid AND a.attname = %(column)s AND NOT a.attisdropped)
                AND (SELECT amname FROM pg_catalog.pg_am WHERE oid = c.relam) = 'btree', false) AS wanted,
       coalesce(i.indisvalid AND i.indisready AND i.indislive, false) AS valid,
       EXISTS (SELECT FROM pg_catalog.pg_locks l
                 JOIN pg_catalog.pg_stat_progress_create_index p USING (pid)
                WHERE l.relation = i.indrelid AND l.granted) AS building
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
 WHERE n.nspname = %(schema)s AND c.relname = %(index)s
