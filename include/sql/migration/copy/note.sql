-- Purpose: write down on a database what it is; survives everything but the database itself.
COMMENT ON DATABASE {database} IS {note}
