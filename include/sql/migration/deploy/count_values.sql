-- Purpose: values that go with a column. What equals its constant default, nobody wrote or could not be told from it.
SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND {column}::text IS DISTINCT FROM ({constant})::text
