-- Purpose: how many pages a table has now.
SELECT (pg_catalog.pg_relation_size({oid}::oid::regclass) / pg_catalog.current_setting('block_size')::int)::bigint AS pages
