-- Purpose: partitions belong to whom their parent belongs to.
ALTER TABLE {table} OWNER TO {owner}
