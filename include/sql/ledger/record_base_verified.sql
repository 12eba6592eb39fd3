-- Purpose: remember that a base backup was read back and found sound.
UPDATE pgops.base_backups
   SET verified_at = clock_timestamp(), verification = %(how)s
 WHERE server = %(server)s AND engine = %(engine)s AND backup_id = %(backup_id)s
