-- Purpose: the ledger's row is written by the role that connected, also when the file has changed it. LOCAL, so that
--          after COMMIT the file's choice is back.
SET LOCAL ROLE NONE
