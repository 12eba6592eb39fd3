-- Purpose: how large an index has become.
SELECT pg_catalog.pg_relation_size(%(index)s::pg_catalog.regclass)
