-- Purpose: take one value's rows out of an archive that was loaded on the scratch database.
DELETE FROM {table} WHERE {column} = CAST(%(value)s AS {type})
