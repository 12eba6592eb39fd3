-- Title: The last restore drill failed
-- Purpose: whether the newest drill of this database found its backup not whole, too slow, or could not finish.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.drills
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: the ledger
-- Mend: Read the drill's report; take a new backup, and drill that
-- Risk: none
SELECT '' AS object, 1 AS value,
       backup_id || ' at ' || to_char(finished_at, 'YYYY-MM-DD HH24:MI:SS TZ') || ': '
           || left(coalesce(report ->> 'failures', 'no report'), 300) AS says, NULL AS mend
  FROM (SELECT * FROM pgops.drills WHERE database = current_setting('pgops.database')
         ORDER BY started_at DESC LIMIT 1) AS newest
 WHERE NOT passed
