-- Purpose: how long this transaction may wait for each lock, and how long each of its statements may take.
SET LOCAL lock_timeout = {lock};
SET LOCAL statement_timeout = {statement}
