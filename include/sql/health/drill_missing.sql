-- Title: No restore was ever proven
-- Purpose: whether any backup of this database was ever restored and found whole.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.drills
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: the ledger
-- Mend: Give the database a drill in the fleet file, then run restore_drill
-- Risk: none: it restores into a scratch database
SELECT '' AS object, 1 AS value, 'drills: ' || count(*) || ', passed: 0' AS says, NULL AS mend
  FROM pgops.drills WHERE database = current_setting('pgops.database')
HAVING count(*) FILTER (WHERE passed) = 0
