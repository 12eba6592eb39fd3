-- Purpose: room for the next one.
DEALLOCATE pgops_query
