-- Purpose: whether the expression can be computed from one row and stored in the column; planned, never run.
-- Note:    in WHERE nothing is computed over several rows.
EXPLAIN INSERT INTO pg_temp.pgops_probe ({column}) SELECT {expression} FROM {table} WHERE ({expression}) IS NOT NULL
