-- Purpose: let the server read a statement, its types, its columns and its privileges, without running it.
EXPLAIN (FORMAT JSON) {statement}
