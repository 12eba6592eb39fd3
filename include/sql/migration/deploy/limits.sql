-- Purpose: the limits of the next statement, whatever the file has set. LOCAL, so that they end with the transaction.
-- Note:    SET takes no snapshot: a file may still begin with SET TRANSACTION.
SET LOCAL lock_timeout = {lock};
SET LOCAL statement_timeout = {statement}
