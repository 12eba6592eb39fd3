-- rollback: destructive acknowledged
DROP TABLE notes;
