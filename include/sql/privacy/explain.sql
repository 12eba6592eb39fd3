-- Purpose: whether a statement is right and allowed, without running it.
EXPLAIN {statement}
