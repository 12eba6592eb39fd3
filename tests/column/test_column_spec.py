"""A column's spec is one column of one type with one expression each, whatever is written into the form."""

from __future__ import annotations

import pytest

from pgops.column import column_spec
from pgops.errors import Refused


def spec(**changes):
    given = {"database": "app", "table": "users", "column": "phone", "type": "text", "default": "''"}
    return column_spec(**(given | changes))


def test_names_are_read_as_sql_reads_them():
    assert spec(table="Sales.Users").label == "sales.users.phone"
    found = spec(table='"My Sales"."Us""ers"', column='"Phone No"')
    assert (found.schema, found.table, found.column) == ("My Sales", 'Us"ers', "Phone No")
    assert found.unfilled == '"Phone No" IS NULL'
    assert found.relation == '"My Sales"."Us""ers"'
    assert spec(table=found.relation).relation == found.relation


@pytest.mark.parametrize(
    "type", ["text", "varchar(20)", "numeric(10, 2)", "timestamptz", "int[]", "double precision", '"my types".mood']
)
def test_a_type_is_kept(type):
    assert spec(type=type).type


def test_what_is_wanted_is_found_out_from_default_and_backfill():
    both = spec(default="''", backfill="lower(email)")
    assert (both.fill, both.by_trigger, both.unfilled) == ("lower(email)", False, "phone IS NULL")
    assert spec(default=None, backfill="lower(email)").by_trigger
    assert spec(default="now()", backfill=" ").fill == "now()"
    assert spec(default=None, backfill="lower(email)", not_null=False).unfilled.endswith("(lower(email)) IS NOT NULL")
    assert spec(index=True).index_name == "users_phone_idx"
    assert spec(index="by_phone").index_name == "by_phone"
    assert spec().index_name is None


def test_names_that_are_made_are_never_cut_off_by_the_server_and_never_those_of_another_column():
    long = [spec(column="c" * 60 + str(number), index=True) for number in range(2)]
    for name in ("constraint_name", "function_name", "trigger_name", "index_name"):
        first, second = (getattr(one, name) for one in long)
        assert first != second
        assert max(len(first.encode()), len(second.encode())) <= 63
    assert len(spec(column='"' + "ü" * 31 + '"').constraint_name.encode()) <= 63


INJECTIONS = {
    "a second statement": {"default": "''; DROP TABLE users"},
    "a statement behind the table": {"table": "users; DROP TABLE users"},
    "a statement behind the type": {"type": "text; DROP TABLE users"},
    "a statement behind the column": {"column": "phone; DROP TABLE users"},
    "two expressions": {"default": "1, 2"},
    "a name": {"default": "1 AS one"},
    "FROM": {"backfill": "email FROM users"},
    "WHERE": {"backfill": "1 WHERE true"},
    "UNION": {"default": "1 UNION SELECT 2"},
    "INTO": {"default": "1 INTO t"},
    "a subquery": {"backfill": "(SELECT max(x) FROM secrets)"},
    "a hidden subquery": {"backfill": "lower(coalesce(email, (SELECT 'x')))"},
    "EXISTS": {"backfill": "EXISTS (SELECT 1)"},
    "a window": {"backfill": "row_number() OVER ()"},
    "count(*)": {"backfill": "count(*)"},
    "a parenthesis too many": {"default": "1) , (2"},
    "a comment that hides": {"type": "text /* "},
    "all columns": {"backfill": "*"},
    "a row": {"backfill": "users.*"},
    "a default that sees the row": {"default": "lower(email)"},
    "an open parameter": {"default": "$1"},
    "no SQL": {"default": "it's"},
    "NUL": {"default": "'\0'"},
    "a type with a constraint": {"type": "text NOT NULL"},
    "a type with a default": {"type": "text DEFAULT 1"},
    "a calculation for a type": {"type": "int + 1"},
    "a collation": {"type": 'text COLLATE "C"'},
    "serial": {"type": "bigserial"},
    "a set": {"type": "SETOF int"},
    "a column with its table": {"column": "users.phone"},
    "a number for a column": {"column": "1"},
    "a table with an alias": {"table": "users u"},
    "two tables": {"table": "users, orders"},
    "a join": {"table": "users JOIN orders ON true"},
    "a function for a table": {"table": "pg_ls_dir('/')"},
    "another database": {"table": "other.public.users"},
    "the trigger's quotes": {"default": None, "backfill": "'$pgops$ END; $x$'"},
    "nothing for the rows there": {"default": None},
    "an empty table": {"table": ""},
    "an empty column": {"column": ""},
    "an empty type": {"type": ""},
}


@pytest.mark.parametrize("changes", INJECTIONS.values(), ids=INJECTIONS)
def test_what_is_not_one_column_of_one_type_is_refused_with_its_key(changes):
    with pytest.raises(Refused) as caught:
        spec(**changes)
    assert caught.value.where.startswith("zero_downtime_column, ")
    assert caught.value.remedy
