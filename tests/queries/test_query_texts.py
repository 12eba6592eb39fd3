"""Texts as they are kept: no literal, the same fingerprint for the same statement."""

from __future__ import annotations

import pytest

from pgops.queries.text import MOST_TEXT, kept, masked, plannable

SECRETIVE = [
    "ALTER ROLE bob PASSWORD 'hunter2'",
    "ALTER ROLE bob PASSWORD E'hunter2\\'hunter2'",
    "CREATE USER MAPPING FOR x SERVER y OPTIONS (user 'u', password 'hunter2')",
    "DO $body$ BEGIN PERFORM 'hunter2'; END $body$",
    "DO $$ hunter2 $$",
    "SELECT $x$ a $$ hunter2 $$ b $x$",
    "SELECT U&'hunter2', N'hunter2', x'hunter2', b'hunter2', e'\\'hunter2'",
    "SELECT 'it''s hunter2'",
    "SELECT 'C:\\' AS a, 'hunter2' AS b, 'x'",
    "SELECT 'an end that never comes hunter2",
    "SELECT 1 /* hunter2 /* hunter2 */ hunter2 */",
    "SELECT 1 -- hunter2\n, 2",
    "SELECT 1 /* hunter2",
    "DO $never$ hunter2",
    "COPY t FROM PROGRAM 'curl hunter2'",
    "/* from=shop */ SET app.token = hunter2",
    "SET LOCAL app.user.name TO hunter2_of_sales, hunter2",
    'ALTER ROLE bob IN DATABASE shop SET app.token TO "hunter2"',
    'SELECT "a""b", \'hunter2\' FROM "o\'Brien"',
]


@pytest.mark.parametrize("text", SECRETIVE)
def test_no_literal_and_no_comment_is_kept(text):
    assert "hunter2" not in masked(text)


@pytest.mark.parametrize("number", ["4111111111111111", "3.14159", ".75", "1e10", "6.02e-23", "0xff", "1_000"])
def test_numbers_are_masked(number):
    assert number not in masked(f"SELECT a FROM t WHERE b = {number}")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a1, t2.b FROM t1 JOIN t2 USING (id) WHERE c = $1 AND d <> $2 ORDER BY 1, 2 DESC LIMIT $3",
        "SELECT x::numeric(10, 2), y::varchar(20) FROM t GROUP BY 1",
        'SELECT "Größe"" 7" FROM tabelle_ä',
        "SET search_path TO shop, public",
        "SET app.token TO DEFAULT",
        "UPDATE t SET a.b = c WHERE d = $1",
    ],
)
def test_what_is_no_literal_stays(text):
    assert masked(text) == text


def test_a_masked_literal_gets_a_number_of_its_own():
    assert masked("SELECT a FROM t WHERE b = $2 AND c = 'x' AND d = 7") == (
        "SELECT a FROM t WHERE b = $2 AND c = $3 AND d = $4"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE b IN ($1, $2, $3)", "SELECT a FROM t WHERE b IN ($1 /*, ... */)"),
        ("select  a\nfrom t where b = 'x'", "SELECT a FROM t WHERE b = $1"),
        ("SELECT a FROM t WHERE b > now() - interval $1", "SELECT a FROM t WHERE b > now() - $1::interval"),
        ("ALTER ROLE bob PASSWORD 'x'", "ALTER ROLE bob PASSWORD 'y'"),
        ("FROB a 1", "FROB a 2"),
    ],
    ids=["lists as 15 and 18 write them", "spelling", "typed literal", "utility", "unknown to the parser"],
)
def test_the_same_statement_has_one_fingerprint(one, other):
    assert kept(one).fingerprint == kept(other).fingerprint


def test_another_statement_has_another():
    texts = ["SELECT a FROM t", "SELECT b FROM t", "SELECT a FROM u", "DELETE FROM t", "FROB a", "FROB b"]
    assert len({kept(text).fingerprint for text in texts}) == len(texts)


def test_a_long_text_is_cut_and_says_so():
    long, longer = (
        kept("SELECT a FROM t WHERE " + " OR ".join(f"b = {n}" for n in range(terms))) for terms in (90_000, 100_000)
    )
    assert not long.whole and len(long.text) < 2 * MOST_TEXT
    assert long.fingerprint == longer.fingerprint


def test_what_pg_stat_statements_makes_of_typed_literals_can_be_planned():
    assert plannable("SELECT date $1, now() - INTERVAL $2") == "SELECT $1::date, now() - $2::INTERVAL"
