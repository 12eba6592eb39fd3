-- Purpose: rows, and rows still to do, on a sample of the pages; on all of them in a small table.
SELECT count(*) AS rows, count(*) FILTER (WHERE {predicate}) AS todo
  FROM ONLY {table} AS {alias} TABLESAMPLE SYSTEM ({percent})
