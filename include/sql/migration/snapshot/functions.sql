-- Purpose: functions, procedures and aggregates, each as the sha256 of its definition (the text is in the schema dump).
--          The text itself where the server prints its own syntax tree (BEGIN ATOMIC): that differs after a restore.
SELECT 'function ' || format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS what,
       CASE WHEN p.prosqlbody IS NOT NULL THEN pg_get_functiondef(p.oid)
            WHEN p.prokind <> 'a'
            THEN encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex')
            ELSE concat_ws('; ', 'aggregate of ' || a.aggtransfn::text, format_type(a.aggtranstype, NULL),
                           'final ' || a.aggfinalfn::text, 'combine ' || a.aggcombinefn::text,
                           'moving ' || a.aggmtransfn::text, 'initially ' || a.agginitval,
                           'parallel ' || p.proparallel::text)
       END AS definition
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
