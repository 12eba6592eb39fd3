-- Purpose: refuse a text that is not the name of a type, before it becomes part of a statement. A manifest is data.
SELECT type FROM pg_catalog.unnest(%(types)s::text[]) AS type WHERE pg_catalog.to_regtype(type) IS NULL
