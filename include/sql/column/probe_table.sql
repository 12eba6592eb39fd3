-- Purpose: an empty table of this session alone, on which the server itself says what it makes of a column; rolled back.
CREATE TEMPORARY TABLE pgops_probe () ON COMMIT DROP
