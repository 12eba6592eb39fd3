-- Purpose: how many retired partitions stand where between attached and dropped.
SELECT database, count(*) FILTER (WHERE state IN ('verified', 'grace')) AS waiting,
       count(*) FILTER (WHERE state IN ('detaching', 'detached', 'archived', 'dropping')) AS under_way,
       max(changed_at) AS changed_at
  FROM pgops.partition_states
 WHERE database = ANY (%(databases)s) AND state NOT IN ('attached', 'dropped', 'restored')
 GROUP BY database
