-- Purpose: an index, for HypoPG or for a copy that nobody uses: it locks the table against writes.
CREATE INDEX {label} ON {table} ({columns})
