-- Purpose: delete a batch of the subject's rows from one table that stores them.
-- Privileges: SELECT, DELETE.
-- Note: found and deleted in one statement, which is one transaction; run until it deletes nothing.
DELETE FROM ONLY {table} AS subject_row
 WHERE subject_row.ctid = ANY (ARRAY(SELECT one.ctid FROM ({rows}) AS one LIMIT {batch}))
