-- Purpose: the version of the ledger's schema; Alembic's table.
SELECT version_num FROM pgops.alembic_version
