-- Purpose: indexes whose columns lead another index that serves the same queries. A unique index is redundant beside
--          another unique one of the same columns only; one that backs a constraint stays.
SELECT DISTINCT ON (i.indexrelid)
       i.indexrelid::regclass::text AS object,
       format('%s serves the same queries; this one costs %s and a part of every write', o.indexrelid::regclass,
              pg_size_pretty(pg_relation_size(i.indexrelid))) AS message,
       format('DROP INDEX %s%s', CASE ic.relkind WHEN 'I' THEN '' ELSE 'CONCURRENTLY ' END, i.indexrelid::regclass) AS remedy
  FROM pg_index i
  JOIN pg_class ic ON ic.oid = i.indexrelid AND NOT ic.relispartition
  JOIN pg_namespace n ON n.oid = ic.relnamespace
  JOIN pg_index o ON o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid
  JOIN pg_class oc ON oc.oid = o.indexrelid AND oc.relam = ic.relam
  JOIN pg_am am ON am.oid = ic.relam
  CROSS JOIN LATERAL (
        SELECT i.indnkeyatts = o.indnkeyatts AND i.indnatts = o.indnatts
               AND i.indkey = o.indkey AND i.indclass = o.indclass AND i.indcollation = o.indcollation
               AND i.indoption = o.indoption
               AND coalesce(pg_get_expr(i.indexprs, i.indrelid), '') = coalesce(pg_get_expr(o.indexprs, o.indrelid), '') AS same,
               am.amname = 'btree' AND i.indnatts = i.indnkeyatts AND i.indexprs IS NULL
               AND i.indnkeyatts <= o.indnkeyatts
               AND i.indkey::int2[] = (o.indkey::int2[])[0:i.indnkeyatts - 1]
               AND i.indclass::oid[] = (o.indclass::oid[])[0:i.indnkeyatts - 1]
               AND i.indcollation::oid[] = (o.indcollation::oid[])[0:i.indnkeyatts - 1]
               AND i.indoption::int2[] = (o.indoption::int2[])[0:i.indnkeyatts - 1] AS leads) match
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'pgops'
   AND i.indisvalid AND o.indisvalid AND NOT i.indisreplident
   AND coalesce(pg_get_expr(i.indpred, i.indrelid), '') = coalesce(pg_get_expr(o.indpred, o.indrelid), '')
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
   AND (match.same AND (o.indisunique OR NOT i.indisunique)
        AND (i.indexrelid > o.indexrelid OR o.indisunique AND NOT i.indisunique
             OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = o.indexrelid))
        OR match.leads AND NOT match.same AND NOT i.indisunique)
 ORDER BY i.indexrelid, o.indexrelid
