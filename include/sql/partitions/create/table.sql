-- Purpose: a table of its own, shaped as a partition; nobody knows it yet, so its locks disturb nobody.
-- Note:    indexes, foreign keys and triggers are made by ATTACH, on the empty table, as PARTITION OF would make them;
--          identity belongs to the parent alone.
CREATE {persistence} TABLE {table} (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES EXCLUDING COMMENTS
    {statistics}) {partition_by} {access_method} {options} {tablespace}
