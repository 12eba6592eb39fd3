-- Title: The newest backup against its RPO
-- Purpose: the age of the newest proven backup that no restore drill refuted, as a share of what the fleet file allows.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.backups, select pgops.drills
-- Cost: cheap
-- Facts: rpo_hours
-- Warn: > 100 %
-- Crit: > 200 %
-- Source: the fleet file, backup.rpo_hours
-- Mend: Look at last night's nightly_backup; run it now for this database
-- Risk: none
-- Note: what can be brought back is the snapshot's state: the age counts from the start. The bucket is the truth:
--       backup_watch asks it, this only asks the ledger. No backup at all is backup_missing's.
SELECT '' AS object,
       100.0 * extract(epoch FROM now() - b.started_at) / (3600 * current_setting('pgops.rpo_hours')::numeric) AS value,
       b.backup_id || ' of ' || to_char(b.started_at, 'YYYY-MM-DD HH24:MI:SS TZ') || '; allowed are '
           || current_setting('pgops.rpo_hours') || ' h' AS says,
       NULL AS mend
  FROM pgops.backups b
 WHERE b.database = current_setting('pgops.database') AND b.pruned_at IS NULL
   AND coalesce((SELECT d.passed FROM pgops.drills d WHERE d.database = b.database AND d.backup_id = b.backup_id
                  ORDER BY d.started_at DESC LIMIT 1), true)
 ORDER BY b.started_at DESC LIMIT 1
