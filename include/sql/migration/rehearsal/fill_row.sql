-- Purpose: set columns of one row, and tell where it lies now.
UPDATE {table} SET {assignments} WHERE tableoid = {partition} AND ctid = {place}::tid RETURNING tableoid, ctid::text
