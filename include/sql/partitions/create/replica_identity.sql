-- Purpose: how updates and deletes of the partition are replicated: it is not inherited.
ALTER TABLE {table} REPLICA IDENTITY {identity}
