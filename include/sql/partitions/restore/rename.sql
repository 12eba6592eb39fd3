-- Purpose: give a filled and proven table its name.
ALTER TABLE {table} RENAME TO {new_name}
