-- Purpose: a table of its own, shaped as a partition; nobody knows it yet, so its locks disturb nobody.
-- Note:    its indexes are there before ATTACH, which finds them and has the stronger locks for a shorter time. Foreign
--          keys and triggers are made by ATTACH: a foreign key that is there before makes it lock the other table
--          AccessExclusive. Identity belongs to the parent alone.
CREATE {persistence} TABLE {table} (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING COMMENTS
    {statistics}) {partition_by} {access_method} {options} {tablespace}
