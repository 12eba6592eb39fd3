-- Title: No backup
-- Purpose: whether there is any backup at all that is proven and that no restore drill refuted.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.backups, select pgops.drills
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: the ledger
-- Mend: Run nightly_backup for this database now
-- Risk: none
SELECT '' AS object, 1 AS value,
       CASE WHEN count(*) = 0 THEN 'the ledger knows of none'
            ELSE count(*) || ' are there, a drill refuted each' END AS says,
       NULL AS mend
  FROM (SELECT coalesce((SELECT d.passed FROM pgops.drills d WHERE d.database = b.database AND d.backup_id = b.backup_id
                          ORDER BY d.started_at DESC LIMIT 1), true) AS usable
          FROM pgops.backups b
         WHERE b.database = current_setting('pgops.database') AND b.pruned_at IS NULL) AS backup
HAVING count(*) FILTER (WHERE usable) = 0
