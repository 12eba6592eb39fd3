-- Purpose: how far ahead partitions exist, in seconds: the table for which they end first.
SELECT DISTINCT ON (database) database, object, value AS seconds, at
  FROM (SELECT DISTINCT ON (database, object) database, object, value, at
          FROM pgops.health_figures
         WHERE database = ANY (%(databases)s) AND name = 'partition_horizon' AND at > now() - interval '3 days'
         ORDER BY database, object, at DESC) AS newest
 WHERE value IS NOT NULL
 ORDER BY database, value
