-- Title: Published tables whose rows cannot be told apart
-- Purpose: tables of a publication of updates or deletes without a replica identity: every UPDATE and DELETE on them
--          fails.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/logical-replication-publication.html
-- Mend: Give the table a primary key, or REPLICA IDENTITY USING INDEX; FULL only for a small one
-- Risk: with FULL each change carries the whole old row, and the subscriber reads its table for it
SELECT c.oid::regclass::text AS object, 1 AS value,
       'published by ' || string_agg(DISTINCT quote_ident(p.pubname), ', ') AS says,
       format('ALTER TABLE %s REPLICA IDENTITY FULL', c.oid::regclass) AS mend
  FROM pg_publication p
 CROSS JOIN LATERAL pg_get_publication_tables(p.pubname::text) AS published
  JOIN pg_class c ON c.oid = published.relid
 WHERE (p.pubupdate OR p.pubdelete) AND c.relkind = 'r'
   AND CASE c.relreplident
       WHEN 'f' THEN false
       WHEN 'n' THEN true
       WHEN 'd' THEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid)
       ELSE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) END
 GROUP BY c.oid
 ORDER BY 1 LIMIT 50
