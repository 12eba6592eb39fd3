-- Purpose: which extensions, in which versions, a server needs to restore this database.
SELECT extname, extversion FROM pg_extension ORDER BY extname
