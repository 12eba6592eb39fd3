-- Purpose: write one row as an application does, and take it back: the locks on table and row are real, the row and
--          whatever triggers did are not changed.
BEGIN; UPDATE {table} SET {column} = {column} {condition}; ROLLBACK
