-- Purpose: how far the building of an index is, in the server's words.
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total, lockers_done, lockers_total
  FROM pg_stat_progress_create_index
 WHERE pid = %(pid)s
