-- Purpose: tables, partitions, views, foreign tables and composite types, but for their columns, owner and privileges.
--          What belongs to a partition has a kind of its own, since partitions come and go without any migration.
-- Note: pg_dump tells neither whether an index or a materialized view is usable nor anything of an invalid index.
SELECT CASE WHEN c.relispartition THEN 'partition '
            ELSE CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
                                WHEN 'c' THEN 'composite type ' ELSE 'table ' END
       END || format('%I.%I', n.nspname, c.relname) AS what,
       concat_ws('; ',
           CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 'p' THEN 'permanent' END,
           'partitioned by ' || pg_get_partkeydef(c.oid),
           (SELECT CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
                   || string_agg(format('%I.%I', pn.nspname, p.relname), ', ' ORDER BY i.inhseqno)
                   || CASE WHEN bool_or(i.inhdetachpending) THEN ' (detach pending)' ELSE '' END
              FROM pg_inherits i
              JOIN pg_class p ON p.oid = i.inhparent
              JOIN pg_namespace pn ON pn.oid = p.relnamespace
             WHERE i.inhrelid = c.oid),
           pg_get_expr(c.relpartbound, c.oid),
           'of type ' || nullif(c.reloftype, 0)::regtype::text,
           'access method ' || am.amname,
           CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing'
                               WHEN 'i' THEN 'replica identity by index' END,
           CASE WHEN c.relrowsecurity THEN 'row security' END,
           CASE WHEN c.relforcerowsecurity THEN 'row security forced' END,
           CASE WHEN NOT c.relispopulated THEN 'not populated' END,
           'options ' || array_to_string(c.reloptions, ', '),
           'TOAST options ' || array_to_string(toast.reloptions, ', '),
           'server ' || quote_ident(fs.srvname) || coalesce(' ' || array_to_string(ft.ftoptions, ', '), ''),
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
       ) AS definition
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am am ON am.oid = c.relam
  LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
  LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid
  LEFT JOIN pg_foreign_server fs ON fs.oid = ft.ftserver
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
