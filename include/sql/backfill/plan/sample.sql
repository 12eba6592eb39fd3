-- Purpose: a few rows as they are and as they would be.
SELECT {identity} AS identity, ARRAY[{before}] AS before, ARRAY[{after}] AS after
  FROM ONLY {table} AS {alias} WHERE {predicate} LIMIT {rows}
