-- Purpose: functions of the database's own that planning a statement may run: those that it names, and those of the
--          views that it reads, however deep.
-- Note:    names without schemas: rather one too many. The server's own and those of extensions are trusted not to do
--          anything while they are folded into a constant; a volatile one is never folded, only executed.
WITH RECURSIVE reached AS (
    SELECT c.oid FROM pg_class c WHERE c.relname = ANY (%(relations)s) AND c.relkind IN ('v', 'm')
     UNION
    SELECT d.refobjid
      FROM reached
      JOIN pg_rewrite r ON r.ev_class = reached.oid
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                 AND d.refclassid = 'pg_class'::regclass
), called AS (
    SELECT p.oid FROM pg_proc p WHERE p.proname = ANY (%(functions)s)
     UNION
    SELECT d.refobjid
      FROM reached
      JOIN pg_rewrite r ON r.ev_class = reached.oid
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                                 AND d.refclassid = 'pg_proc'::regclass
)
SELECT DISTINCT format('%%I.%%I', n.nspname, p.proname)
  FROM called
  JOIN pg_proc p USING (oid)
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND (%(executed)s OR p.provolatile <> 'v')
   AND NOT EXISTS (SELECT FROM pg_depend e
                    WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
 ORDER BY 1
