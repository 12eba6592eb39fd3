-- Title: The backup became much smaller
-- Purpose: rows in the newest backup as a share of those in the one before: somebody deleted or truncated.
-- Scope: ledger
-- Kind: state
-- Versions: 15-18
-- Privileges: select pgops.backups
-- Cost: cheap
-- Warn: < 70 %
-- Crit: never
-- Source: the ledger
-- Mend: Look for tables whose rows are gone; keep the older backup until it is clear
-- Risk: none
SELECT '' AS object, 100.0 * rows / before AS value,
       backup_id || ' has ' || rows || ' rows, the one before ' || before AS says, NULL AS mend
  FROM (SELECT backup_id, rows, lead(rows) OVER newest AS before, row_number() OVER newest AS place
          FROM pgops.backups
         WHERE database = current_setting('pgops.database')
        WINDOW newest AS (ORDER BY started_at DESC)) AS backup
 WHERE place = 1 AND before > 0
