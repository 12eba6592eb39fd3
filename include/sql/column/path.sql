-- Purpose: names without a schema in types and expressions are the system's, or those of the table's schema, or public's.
SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, %%I, public, pg_temp', %(schema)s::text), false)
