-- Purpose: keys that cut a table into that many parts of about the same size, from a sample of its pages.
SELECT DISTINCT ON (s.part) s.key
  FROM (SELECT ARRAY[{keys}] AS key, ntile({parts}) OVER (ORDER BY {order}) AS part,
               row_number() OVER (ORDER BY {order}) AS place
          FROM ONLY {table} AS {alias} TABLESAMPLE SYSTEM ({percent})) s
 ORDER BY s.part, s.place DESC
