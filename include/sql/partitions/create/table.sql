-- Purpose: a table of its own, shaped as a partition; nobody knows it yet, so its locks disturb nobody.
-- Note:    indexes, foreign keys and triggers are made by ATTACH: an index of an empty table is made faster than compared,
--          and a foreign key that is there before makes it lock the other table AccessExclusive. Identity belongs to
--          the parent alone.
CREATE {persistence} TABLE {table} (LIKE {parent} INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY
    EXCLUDING COMMENTS {statistics}) {partition_by} {access_method} {options} {tablespace}
