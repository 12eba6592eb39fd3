-- Purpose: let nobody write to a table until it is dropped; reading goes on.
LOCK TABLE {table} IN SHARE MODE
