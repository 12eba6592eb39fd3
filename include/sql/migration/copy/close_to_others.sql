-- Purpose: a clone holds what production holds; nobody but its owner enters it.
REVOKE ALL ON DATABASE {database} FROM PUBLIC
