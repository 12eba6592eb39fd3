-- Purpose: what default privileges have given on a new partition and its sibling does not give.
REVOKE ALL ON {table} FROM {role}
