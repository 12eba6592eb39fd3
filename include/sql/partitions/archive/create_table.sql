-- Purpose: a table on a scratch database, which is lost in a crash and made anew.
CREATE UNLOGGED TABLE {table} ({columns})
