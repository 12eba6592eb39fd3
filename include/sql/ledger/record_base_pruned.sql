-- Purpose: remember when base backups were pruned.
-- Parameters: server, engine, backup_ids.
UPDATE pgops.base_backups
   SET pruned_at = clock_timestamp()
 WHERE server = %(server)s AND engine = %(engine)s AND backup_id = ANY (%(backup_ids)s) AND pruned_at IS NULL
