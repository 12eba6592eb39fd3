-- Purpose: how many values a column holds, how many different ones, and how many rows the application changed. By the
--          type's output, since not every type can be compared.
SELECT count({column}) AS filled,
       count(DISTINCT ROW({column})::text COLLATE "C") FILTER (WHERE {column} IS NOT NULL) AS different,
       count(*) FILTER (WHERE {changed}) AS changed
  FROM {table}
