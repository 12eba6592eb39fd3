-- Purpose: what the ledger may take, whatever limits the file has set and however little is left of the budget.
SET LOCAL statement_timeout = '30s';
SET LOCAL lock_timeout = '10s'
