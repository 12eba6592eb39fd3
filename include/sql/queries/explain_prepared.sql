-- Purpose: its generic plan; nothing is executed.
EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE pgops_query {arguments}
