-- Purpose: move a filled and proven table to where it belongs.
ALTER TABLE {table} SET SCHEMA {schema}
