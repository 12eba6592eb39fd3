-- Title: The last proven restore
-- Purpose: how long ago a backup of this database was restored and found whole.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.drills
-- Cost: cheap
-- Warn: > 10 d
-- Crit: > 45 d
-- Source: the ledger
-- Mend: Run restore_drill for this database
-- Risk: none: it restores into a scratch database
-- Note: none at all is drill_missing's.
SELECT '' AS object, extract(epoch FROM now() - d.finished_at) AS value,
       d.backup_id || ', restored in ' || round(d.rto_seconds) || ' s at '
           || to_char(d.finished_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS says,
       NULL AS mend
  FROM pgops.drills d
 WHERE d.database = current_setting('pgops.database') AND d.passed
 ORDER BY d.finished_at DESC LIMIT 1
