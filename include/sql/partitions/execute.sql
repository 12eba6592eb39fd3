-- Purpose: ask a prepared query.
EXECUTE {statement} ({values})
