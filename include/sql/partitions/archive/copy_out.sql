-- Purpose: the rows of one table, in the format that {options} name.
COPY {table} ({columns}) TO STDOUT WITH ({options})
