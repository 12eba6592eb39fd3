-- Purpose: whether a name still means something.
SELECT pg_catalog.to_regclass(%(relation)s) IS NOT NULL
