-- Purpose: the schema of HypoPG; no row where it is not installed in this database.
-- Source:  https://hypopg.readthedocs.io
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg'
