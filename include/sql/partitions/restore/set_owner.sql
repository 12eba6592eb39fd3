-- Purpose: a partition belongs to whom its table belongs.
ALTER TABLE {table} OWNER TO {owner}
