-- Purpose: whether the ledger was ever upgraded.
SELECT to_regclass('pgops.alembic_version') IS NOT NULL
