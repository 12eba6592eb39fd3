-- Purpose: the limits of a statement that is a transaction by itself.
SET lock_timeout = {lock};
SET statement_timeout = {statement}
