-- Purpose: the fingerprint of one table, or of a range of its blocks: the number of rows and the sum of their hashes,
--          which does not depend on their order. Sums of ranges add up to the table's.
-- Note: the columns are named, sorted by name, and none is generated: a restore brings inherited columns in another
--       order and computes generated ones again, and t::text would use a cast that somebody made for that table.
--       No alias, since an extension's condition may use the table's name; collation "C" because a nondeterministic
--       collation would hash different texts alike.
SELECT count(*),
       coalesce(sum(hashtextextended(ROW({columns})::text COLLATE "C", 0)), 0)::text
  FROM ONLY {table}
{condition}
