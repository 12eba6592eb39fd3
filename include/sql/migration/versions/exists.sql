-- Purpose: whether this database has a version ledger yet.
SELECT to_regclass('pgops.schema_steps') IS NOT NULL
