-- Purpose: the fingerprint of one table, or of a range of its blocks: the number of rows and the sum of their hashes,
--          which does not depend on their order. Sums of ranges add up to the table's.
-- Note: (pgops_row.*) is the whole row also where a column is named like the alias; collation "C" because a
--       nondeterministic collation would hash different texts alike.
SELECT count(*),
       coalesce(sum(hashtextextended((pgops_row.*)::text COLLATE "C", 0)), 0)::text
  FROM ONLY {table} AS pgops_row
{condition}
