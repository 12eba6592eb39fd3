-- Purpose: a setting for every session of a database. The value is TO a literal, or FROM CURRENT for lists of names.
ALTER DATABASE {database} SET {setting} {value}
