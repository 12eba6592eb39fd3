-- rollback: destructive acknowledged
DROP TABLE tags;
