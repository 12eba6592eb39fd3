-- Purpose: change a batch of rows that have not been changed yet: anonymise them, or take a reference out of them.
-- Privileges: SELECT, UPDATE.
-- Note: found and changed in one statement, which is one transaction; run until it changes nothing.
UPDATE ONLY {table} AS subject_row SET {assignments}
 WHERE subject_row.ctid = ANY (ARRAY(SELECT one.ctid FROM ({rows}) AS one LIMIT {batch}))
