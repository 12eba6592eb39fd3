-- Purpose: change a few rows, to be rolled back: how long it takes, and whether they then count as done.
WITH changed AS (
    UPDATE ONLY {table} AS {alias} SET {assignments}
     WHERE {alias}.ctid = ANY (ARRAY(SELECT {alias}.ctid FROM ONLY {table} AS {alias}
                                      WHERE {predicate} LIMIT {rows} FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING {identity} AS identity, ({predicate}) IS TRUE AS still
)
SELECT count(*) AS rows, count(*) FILTER (WHERE still) AS still, min(identity::text) FILTER (WHERE still) AS example FROM changed
