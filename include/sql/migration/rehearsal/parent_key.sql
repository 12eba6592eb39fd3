-- Purpose: the key of an existing row that a foreign key may point to, as text.
SELECT {columns} FROM {table} WHERE {not_null} LIMIT 1 OFFSET {skip}
