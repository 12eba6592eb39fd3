-- Purpose: keys of some existing rows, as text: any type's text is a literal of that type.
SELECT {key} FROM {table} LIMIT {rows}
