-- Title: Indexes that are there twice
-- Purpose: indexes with the same columns, expressions, order, operators and condition as another one of their table.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Warn: >= 0 B
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/catalog-pg-index.html; the idea of PgHero
-- Mend: Drop the one that no constraint needs
-- Risk: none: the other one answers the same queries
-- Note: the text of an expression is compared, since the stored tree holds the place in the source. What stays is the
--       one that a constraint, the replica identity or CLUSTER needs, else the oldest. What a foreign key
--       points to stays, too.
SELECT indexrelid::regclass::text AS object,
       relpages::bigint * current_setting('block_size')::bigint AS value,
       'the same as ' || keeper::regclass || ': ' || pg_get_indexdef(indexrelid) AS says,
       CASE WHEN conname IS NULL THEN format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', indrelid::regclass, conname) END AS mend
  FROM (SELECT i.indexrelid, i.indrelid, c.relpages, k.conname,
               i.indexrelid IN (SELECT conindid FROM pg_constraint WHERE contype = 'f') AS pointed_to,
               row_number() OVER same AS place, first_value(i.indexrelid) OVER same AS keeper
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indexrelid
          LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
         WHERE i.indisvalid AND NOT i.indisexclusion AND NOT c.relispartition AND i.indrelid >= 16384
        WINDOW same AS (
               PARTITION BY i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indcollation::text,
                            i.indoption::text, i.indnkeyatts, i.indisunique, i.indnullsnotdistinct,
                            CASE WHEN i.indexprs IS NOT NULL THEN pg_get_expr(i.indexprs, i.indrelid) END,
                            CASE WHEN i.indpred IS NOT NULL THEN pg_get_expr(i.indpred, i.indrelid) END
               ORDER BY k.conname IS NULL, NOT i.indisreplident, NOT i.indisclustered, i.indexrelid
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS placed
 WHERE place > 1 AND NOT pointed_to
 ORDER BY 2 DESC, 1 LIMIT 50
