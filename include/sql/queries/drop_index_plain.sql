-- Purpose: the copy as it was.
DROP INDEX {index}
