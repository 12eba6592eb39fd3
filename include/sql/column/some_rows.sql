-- Purpose: whether there is a row for which this is true.
SELECT EXISTS (SELECT FROM {table} WHERE {condition}) AS found
