-- Purpose: rows that found no partition: how many, from where to where, and how many in each range that is planned.
SELECT count(*) AS rows, min({key})::text AS least, max({key})::text AS greatest, ARRAY[{counts}]::bigint[] AS in_ranges
  FROM {default}
