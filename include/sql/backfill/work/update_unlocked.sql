-- Purpose: as update.sql, leaving out rows that somebody else holds locked: a later pass takes them.
-- Note:    the rows are locked by the inner query, so none of them can move before it is updated.
UPDATE ONLY {table} AS {alias} SET {assignments}
 WHERE {alias}.ctid = ANY (ARRAY(SELECT {alias}.ctid FROM ONLY {table} AS {alias}
                                  WHERE {range} AND ({predicate}) FOR NO KEY UPDATE SKIP LOCKED))
   AND ({predicate})
