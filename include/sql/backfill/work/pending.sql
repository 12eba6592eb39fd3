-- Purpose: the rows still to do in a small range, each by its address and by the name that a person knows it by.
SELECT {alias}.ctid::text AS ctid, {identity} AS identity
  FROM ONLY {table} AS {alias} WHERE {range} AND ({predicate}) ORDER BY {order} LIMIT {rows}
