-- Purpose: how big a table is: its pages now, and its rows as the planner would guess them.
SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int AS pages,
       CASE WHEN c.reltuples < 0 OR c.relpages = 0 THEN NULL
            ELSE c.reltuples / c.relpages * (pg_catalog.pg_relation_size(c.oid)
                                            / pg_catalog.current_setting('block_size')::int) END::float8 AS rows
  FROM pg_catalog.pg_class c WHERE c.oid = %(oid)s
