-- Purpose: which of these names a relation or a type has already: a table brings a type of its name.
SELECT w.schema, w.name
  FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS w (schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema::name
 WHERE EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = w.name::name)
    OR EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = n.oid AND t.typname = w.name::name)
