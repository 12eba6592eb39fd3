-- Purpose: publications with their tables, row filters, columns and schemas, and subscriptions without their secrets.
SELECT 'publication ' || quote_ident(p.pubname) AS what,
       concat_ws('; ',
           (to_jsonb(p) - '{oid,pubname,pubowner}'::text[])::text,
           (SELECT string_agg(concat_ws(' ', r.prrelid::regclass::text,
                                        'columns ' || r.prattrs::text,
                                        'where ' || pg_get_expr(r.prqual, r.prrelid)), ', ' ORDER BY r.prrelid::regclass::text)
              FROM pg_publication_rel r WHERE r.prpubid = p.oid),
           (SELECT 'schemas ' || string_agg(s.pnnspid::regnamespace::text, ', ' ORDER BY s.pnnspid::regnamespace::text)
              FROM pg_publication_namespace s WHERE s.pnpubid = p.oid)
       ) AS definition
  FROM pg_publication p
UNION ALL
SELECT 'subscription ' || quote_ident(s.subname),
       concat_ws('; ', CASE WHEN s.subenabled THEN 'enabled' ELSE 'disabled' END, 'slot ' || s.subslotname,
                 'publications ' || array_to_string(s.subpublications, ', '))
  FROM pg_subscription s
  JOIN pg_database d ON d.oid = s.subdbid
 WHERE d.datname = current_database()
