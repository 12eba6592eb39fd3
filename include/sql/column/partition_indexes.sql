-- Purpose: for each table of a partition tree, what bears the name that its index would have, and its indexes that are
--          attached to one of the table above it.
-- Note:    an index that is being built looks invalid; its builder stands in pg_stat_progress_create_index.
SELECT w.oid, c.oid::bigint AS index_oid, c.relname AS index, h.inhparent::bigint AS attached_to,
       coalesce(i.indrelid = r.oid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = 1
                AND i.indkey[0] = (SELECT a.attnum FROM pg_catalog.pg_attribute a
                                    WHERE a.attrelid = i.indrelid AND a.attname = %(column)s AND NOT a.attisdropped)
                AND (SELECT amname FROM pg_catalog.pg_am WHERE oid = c.relam) = 'btree', false) AS wanted,
       coalesce(i.indisvalid AND i.indisready AND i.indislive, false) AS valid,
       EXISTS (SELECT FROM pg_catalog.pg_locks l
                 JOIN pg_catalog.pg_stat_progress_create_index p USING (pid)
                WHERE l.relation = i.indrelid AND l.granted) AS building
  FROM unnest(%(oids)s::bigint[], %(names)s::text[]) AS w (oid, name)
  JOIN pg_catalog.pg_class r ON r.oid = w.oid::oid
  JOIN pg_catalog.pg_class c
    ON c.relnamespace = r.relnamespace
   AND (c.relname = w.name OR c.oid IN (SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid = r.oid))
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = c.oid
 WHERE c.relname = w.name OR h.inhparent IS NOT NULL
