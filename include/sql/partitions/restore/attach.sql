-- Purpose: from now on the restored rows are seen through the table.
ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM ({lower}) TO ({upper})
