-- Purpose: what the sibling gives, on the table or on one column of it.
GRANT {privilege} ON {table} TO {role} {option}
