-- refused because: the rollback does not restore the data
UPDATE users SET name = lower(name) WHERE id % 2 = 0;
