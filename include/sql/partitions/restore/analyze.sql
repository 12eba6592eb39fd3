-- Purpose: figures for the planner before anybody asks.
ANALYZE {table}
