-- Purpose: give a database another name; takes part in a transaction.
ALTER DATABASE {database} RENAME TO {new_name}
