-- Purpose: an index, and the constraint that it keeps, gets the name that its table would have given it.
ALTER INDEX {index} RENAME TO {new_name}
