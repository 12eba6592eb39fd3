-- Title: Disabled triggers
-- Purpose: triggers that do not fire; where they are those of a foreign key, the foreign key does not hold.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Info: >= 1
-- Warn: >= 2
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-DISABLE-ENABLE-TRIGGER
-- Mend: Enable the trigger; before that of a foreign key look for rows that point nowhere
-- Risk: rows written meanwhile are not made up for
-- Note: 1 is a trigger of somebody's own, 2 one of a foreign key (DISABLE TRIGGER ALL, forgotten after a load).
SELECT CASE WHEN t.tgisinternal THEN format('%s.%I', t.tgrelid::regclass, coalesce(k.conname, 'a constraint'))
            ELSE format('%s.%I', t.tgrelid::regclass, t.tgname) END AS object,
       CASE WHEN t.tgisinternal THEN 2 ELSE 1 END AS value,
       CASE WHEN t.tgisinternal THEN 'the foreign key is not checked' ELSE pg_get_triggerdef(t.oid) END AS says,
       CASE WHEN t.tgisinternal THEN format('ALTER TABLE %s ENABLE TRIGGER ALL', t.tgrelid::regclass)
            ELSE format('ALTER TABLE %s ENABLE TRIGGER %I', t.tgrelid::regclass, t.tgname) END AS mend
  FROM pg_trigger t
  LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
 WHERE t.tgenabled = 'D'
 ORDER BY 2 DESC, 1 LIMIT 50
