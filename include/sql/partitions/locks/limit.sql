-- Purpose: how many milliseconds this transaction may wait for each lock.
SET LOCAL lock_timeout = {lock}
