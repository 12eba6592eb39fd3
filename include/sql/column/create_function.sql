-- Purpose: fills the column of a row that is written without it. A default cannot: it does not see the row.
-- Note:    the row stands under the table's name, so the expression reads as in an UPDATE.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
   SET search_path = pg_catalog, {schema}, public, pg_temp AS $pgops$
#variable_conflict use_column
BEGIN
    NEW.{column} := (SELECT ({expression}) FROM (SELECT NEW.*) AS {alias});
    RETURN NEW;
END
$pgops$
