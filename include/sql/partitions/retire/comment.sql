-- Purpose: say in the comment what becomes of a table, or put its own comment back.
COMMENT ON TABLE {table} IS {comment}
