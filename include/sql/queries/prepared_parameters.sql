-- Purpose: how many parameters the prepared statement has.
SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = 'pgops_query'
