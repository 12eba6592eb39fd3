-- rollback: destructive acknowledged
DROP TABLE plans;
