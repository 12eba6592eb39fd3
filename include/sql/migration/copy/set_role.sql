-- Purpose: a setting for this role's sessions of a database. The value is TO a literal, or FROM CURRENT for lists of names.
ALTER ROLE CURRENT_USER IN DATABASE {database} SET {setting} {value}
