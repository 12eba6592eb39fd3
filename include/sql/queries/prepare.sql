-- Purpose: before PostgreSQL 16: the server finds out the parameters' types, and plans without their values.
SET plan_cache_mode = force_generic_plan;
PREPARE pgops_query AS {statement}
