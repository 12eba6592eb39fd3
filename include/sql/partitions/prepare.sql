-- Purpose: a query that a session asks for every parent and every lock is planned once.
PREPARE {statement} ({types}) AS {text}
