-- Purpose: how many rows of an archive that was loaded on the scratch database are somebody's.
SELECT count(*) FROM {table} WHERE {rows}
