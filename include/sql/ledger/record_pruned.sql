-- Purpose: remember when backups were pruned.
-- Parameters: database, backup_ids.
UPDATE pgops.backups
   SET pruned_at = clock_timestamp()
 WHERE database = %(database)s AND backup_id = ANY (%(backup_ids)s) AND pruned_at IS NULL
