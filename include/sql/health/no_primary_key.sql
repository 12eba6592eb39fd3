-- Title: Tables without a primary key
-- Purpose: tables in which one row cannot be told from another: logical replication, repair and backfills need that.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-PRIMARY-KEYS
-- Mend: Add a primary key: a unique index CONCURRENTLY, then ADD PRIMARY KEY USING INDEX
-- Risk: ADD PRIMARY KEY locks the table, for a scan if its columns are not NOT NULL yet
-- Note: partitions are left out, their parent counts; so are extensions' tables.
SELECT c.oid::regclass::text AS object, 1 AS value,
       'about ' || greatest(c.reltuples, 0)::bigint || ' rows'
           || coalesce('; unique: ' || (SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i
                                         WHERE i.indrelid = c.oid AND i.indisunique), '') AS says,
       NULL AS mend
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition AND c.oid >= 16384
   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY c.reltuples DESC, 1 LIMIT 50
