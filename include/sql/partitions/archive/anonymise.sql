-- Purpose: change rows of an archive that was loaded on the scratch database.
UPDATE {table} SET {assignments} WHERE {rows}
