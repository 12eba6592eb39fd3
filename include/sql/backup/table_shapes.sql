-- Purpose: the file and the columns of each table. Asked in the dump's snapshot and again outside of it: TRUNCATE and
--          the rewriting forms of ALTER TABLE are not MVCC-safe, so a table that was rewritten between the snapshot
--          and pg_dump's lock is empty in the snapshot, for pg_dump and fingerprint alike.
-- Source:  https://www.postgresql.org/docs/current/mvcc-caveats.html
SELECT c.oid,
       c.relfilenode,
       ARRAY(SELECT a.attnum || ' ' || a.attname
               FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns
  FROM pg_class c
 WHERE c.relkind = 'r'
