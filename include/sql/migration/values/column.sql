-- Purpose: how many values a column holds, how many different ones, and in how many rows it is not what ADD COLUMN's
--          default gave them. By the type's output, since not every type can be compared.
SELECT count({column}) AS filled,
       count(DISTINCT ROW({column})::text COLLATE "C") FILTER (WHERE {column} IS NOT NULL) AS different,
       count(*) FILTER (WHERE CASE WHEN {column} IS NOT NULL THEN format('%s', {column}) END IS DISTINCT FROM {missing}) AS changed
  FROM {table}
