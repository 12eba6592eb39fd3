-- Purpose: the fingerprint of one table, or of a range of its blocks: the number of rows and the sum of their hashes,
--          which does not depend on their order. Sums of ranges add up to the table's.
-- Note: {columns} are named, sorted, and none is generated (tables.sql). A record's hash is linear in its columns' hashes,
--       so a sum of them would not see values that changed places between rows: its text is hashed again.
--       No alias, since an extension's condition may use the table's name.
-- Source: hash_record_extended since PostgreSQL 14.
SELECT count(*),
       coalesce(sum(hashtextextended(hash_record_extended(ROW({columns}), 0)::text COLLATE "C", 0)), 0)::text
  FROM ONLY {table}
{condition}
