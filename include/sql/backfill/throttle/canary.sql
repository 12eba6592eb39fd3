-- Purpose: a read as small as the application's: a few rows from random pages. It waits for the table's lock and for
--          the disk as every other read does.
-- Note:    by place, not LIMIT 1: that has to get past all the dead rows that a backfill leaves at the table's beginning
--          and would call the database slow. A place without a row costs as much. Nothing wide is fetched.
SELECT ctid FROM {table} WHERE ctid = ANY ({places}::tid[])
