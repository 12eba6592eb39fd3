-- refused because: the rollback fails
DROP INDEX CONCURRENTLY orders_state_idx;
