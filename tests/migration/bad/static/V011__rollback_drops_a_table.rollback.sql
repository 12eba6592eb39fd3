-- refused because: destructive-rollback
DROP TABLE plans;
