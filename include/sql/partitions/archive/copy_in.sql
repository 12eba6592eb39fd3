-- Purpose: rows from an archive into a table.
COPY {table} ({columns}) FROM STDIN WITH ({options})
