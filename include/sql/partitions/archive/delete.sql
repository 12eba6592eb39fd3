-- Purpose: take rows out of an archive that was loaded on the scratch database.
DELETE FROM {table} WHERE ({rows}) IS {wanted}
