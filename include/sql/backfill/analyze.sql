-- Purpose: fresh statistics after a backfill: the planner must know the new values.
ANALYZE {table}
