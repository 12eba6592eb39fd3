-- Purpose: keep a table from being emptied or rewritten while it is archived: such a change is no matter of snapshots.
LOCK TABLE {table} IN ACCESS SHARE MODE
