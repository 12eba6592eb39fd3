-- Purpose: the key at which a batch of that many rows ends; done or not, so that its cost is known beforehand. And how
--          far the WAL is: the difference to the checkpoint is at least what the batch wrote.
-- Note:    without good statistics the planner would rather sort all that is left of the range, for every batch anew.
--          Sent as one message outside of a transaction: the settings end with it.
SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off;
SELECT ARRAY[{keys_as_text}] AS key,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS wal
  FROM (SELECT {keys} FROM ONLY {table} AS {alias} WHERE {range} ORDER BY {order} OFFSET {rows} LIMIT 1) AS {alias}
