-- rollback: destructive acknowledged
DROP TABLE tickets;
