-- Purpose: take a partition out of its table; this locks the table against everybody, for a moment.
ALTER TABLE {parent} DETACH PARTITION {partition}
