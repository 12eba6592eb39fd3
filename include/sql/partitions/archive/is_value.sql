-- Purpose: fails when the value is none of a column's type: then the column cannot hold it.
SELECT CAST(pg_catalog.current_setting('pgops.value') AS {type}) IS NOT NULL
