-- Purpose: the plan of a statement whose parameters nobody knows; nothing is executed. PostgreSQL 16 and later.
-- Source:  https://www.postgresql.org/docs/current/sql-explain.html
EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {statement}
