-- refused because: the rollback leaves a privilege behind
SELECT 1;
