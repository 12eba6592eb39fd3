DROP INDEX CONCURRENTLY users_surname_idx;
