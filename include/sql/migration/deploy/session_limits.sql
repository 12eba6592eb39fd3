-- Purpose: the limits of a statement that cannot run in a transaction.
SET lock_timeout = {lock};
SET statement_timeout = {statement}
