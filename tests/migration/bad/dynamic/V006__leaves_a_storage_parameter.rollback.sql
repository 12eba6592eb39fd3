-- refused because: the rollback leaves a storage parameter behind
SELECT 1;
