"""The daily review on real servers: a planted regression is found and named first, a candidate becomes a migration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgops.queries.daily import Desk, Reviewed, Target, Whole, review_past, review_queries
from pgops.queries.review import Thresholds
from pgops.queries.table import table
from pgops.storage import Bucket
from tests import servers
from tests.queries.conftest import Stage

SHOP = (
    "CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL, status text NOT NULL, note text)",
    "INSERT INTO orders SELECT i, i % 5000, 'x' || i % 4, repeat('n', 40) FROM generate_series(1, 50000) AS i",
    "CREATE INDEX orders_user_id ON orders (user_id)",
    "VACUUM ANALYZE orders",
)
BY_USER = "SELECT count(*) FROM orders WHERE user_id = 7"
BY_ID = "SELECT * FROM orders WHERE id = 7"
LIMITS = Thresholds(seconds=0.05, calls=10, new_seconds=0.001)


def backdate(stage: Stage, days: int) -> None:
    """What was counted until now was counted on a day in the past, over all of it."""
    with stage.ledger.session() as connection, connection.cursor() as cursor:
        cursor.execute(BACKDATE, {"database": stage.name, "days": days})


BACKDATE = """
DO $$
DECLARE
    begins timestamp;
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['query_snapshots', 'query_deltas'] LOOP
        FOR begins IN SELECT generate_series(date_trunc('week', now() AT TIME ZONE 'UTC') - interval '5 weeks',
                                             date_trunc('week', now() AT TIME ZONE 'UTC') - interval '1 week',
                                             interval '1 week') LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS pgops.%%I PARTITION OF pgops.%%I FOR VALUES FROM (%%L) TO (%%L)',
                           parent || to_char(begins, '"_"IYYY"_w"IW'), parent,
                           begins AT TIME ZONE 'UTC', (begins + interval '1 week') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END
$$;
UPDATE pgops.query_deltas d SET at = d.at - make_interval(days => %(days)s)
  FROM pgops.query_statements s WHERE s.id = d.statement AND s.database = %(database)s
   AND d.at > now() - interval '1 day';
UPDATE pgops.query_snapshots SET at = at - make_interval(days => %(days)s),
                                 since = at - make_interval(days => %(days)s + 1)
 WHERE database = %(database)s AND since IS NOT NULL AND at > now() - interval '1 day';
UPDATE pgops.query_statements SET first_seen = first_seen - make_interval(days => %(days)s + 1)
 WHERE database = %(database)s;
UPDATE pgops.query_plans SET first_seen = first_seen - make_interval(days => %(days)s),
                             last_seen = last_seen - make_interval(days => %(days)s)
 WHERE database = %(database)s;
UPDATE pgops.query_sources SET watched_since = watched_since - make_interval(days => %(days)s + 1)
 WHERE database = %(database)s
"""


@pytest.fixture
def shop(stage: Stage) -> Stage:
    stage.execute(*SHOP)
    stage.snapshot()
    return stage


@pytest.fixture
def reviewed(shop, bucket):
    def review(run: str = "run", first_version: int | None = 3) -> tuple[Reviewed, Whole]:
        desk = Desk(shop.ledger, bucket, run)
        target = Target(shop.name, shop.monitor, "primary", first_version=first_version)
        found = review_queries(desk, target, LIMITS)
        print("\n".join(table(found[1])))
        return found

    return review


def test_a_dropped_index_is_found_and_named_first_with_its_changed_plan(shop, reviewed):
    shop.execute(*[BY_USER] * 100, *[BY_ID] * 100)
    reviewed("last week")
    backdate(shop, 7)
    shop.execute("DROP INDEX orders_user_id", *[BY_USER] * 100, *[BY_ID] * 110)
    found, whole = reviewed("today")
    first = found.regressions[0]
    assert first["cause"] == "changed plan" and "user_id" in first["query"]
    assert "orders_user_id" in first["why"] and "Seq Scan on public.orders" in first["why"]
    assert "blocks a call" in first["why"]
    assert (whole.review.past_windows, whole.review.same_weekday) == (1, True)


def test_a_review_that_is_tried_again_says_the_same_and_is_kept_once(shop, reviewed):
    shop.execute(*[BY_USER] * 100)
    reviewed("last week")
    backdate(shop, 7)
    shop.execute("DROP INDEX orders_user_id", *[BY_USER] * 100)
    first, _ = reviewed("today")
    again, _ = reviewed("today")
    assert first.regressions[0]["cause"] == again.regressions[0]["cause"] == "changed plan"
    kept = shop.kept("SELECT run_id, facts -> 'regressions' -> 0 ->> 'cause' FROM pgops.query_reviews"
                     " WHERE database = %(database)s ORDER BY at")  # fmt: skip
    assert kept == [("last week", None), ("today", "changed plan")]


def test_a_day_that_is_over_is_reviewed_from_what_was_counted_then(shop, reviewed, bucket):
    shop.execute(*[BY_USER] * 100)
    reviewed("eight days ago")
    backdate(shop, 7)
    shop.execute("DROP INDEX orders_user_id", *[BY_USER] * 100)
    then, _ = reviewed("yesterday")
    backdate(shop, 1)
    shop.execute(*[BY_USER] * 3)
    shop.snapshot()
    again, _ = review_past(Desk(shop.ledger, bucket, "again"), shop.name, then.at - timedelta(days=1), LIMITS)
    assert again.at == then.at - timedelta(days=1)
    (slower,) = [one for one in again.regressions if "user_id" in one["query"]]
    assert slower["added"] == pytest.approx(then.regressions[0]["added"], rel=0.01)
    assert slower["cause"] != "changed plan"  # that would be today's
    assert (again.advice, again.pairs) == ((), ()) and "reviewed afterwards" in again.notes[-1]
    assert again.page is not None and then.page is not None and again.page < then.page


def test_the_page_shows_plans_and_migrations_and_every_text_is_only_text(shop, reviewed, bucket):
    shop.execute(
        'CREATE TABLE "<script>" AS SELECT * FROM orders',
        "ANALYZE",
        *['SELECT count(*) FROM "<script>" WHERE user_id = 7'] * 20,
    )
    found, whole = reviewed()
    page = bucket.open([found.page]).read().decode()
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "Seq Scan on public.&lt;script&gt;" in page and "V003__index_script_user_id.sql" in page
    files = [key.rsplit("/", 1)[-1] for key in found.pairs]
    assert files == ["V003__index_script_user_id.sql", "V003__index_script_user_id.rollback.sql"]
    assert 'ON public."<script>" (user_id);' in whole.pairs[0].up


def test_without_counters_the_indexes_are_still_looked_at_and_the_review_is_blind(shop, reviewed):
    shop.execute("DROP EXTENSION pg_stat_statements", "CREATE INDEX again ON orders (user_id)")
    found, _ = reviewed()
    assert "CREATE EXTENSION" in found.blind
    assert ("duplicate", "public.again") in [(one["kind"], one["object"]) for one in found.advice]


def test_a_bucket_that_is_down_costs_the_report_and_nothing_else(shop, bucket):
    shop.execute(*[BY_USER] * 20)
    nowhere = Bucket(servers.s3_client("http://127.0.0.1:1", attempts=1), bucket.name)
    found, _ = review_queries(Desk(shop.ledger, nowhere, "run"), Target(shop.name, shop.monitor), LIMITS)
    assert found.page is None and any("no report in the bucket" in note for note in found.notes)
    assert found.slowest
    assert shop.kept("SELECT count(*) FROM pgops.query_reviews WHERE database = %(database)s") == [(1,)]


def test_what_never_mattered_and_is_gone_is_forgotten_and_the_rest_is_not(shop, reviewed):
    shop.execute(BY_USER, "SELECT 1 + 1 + 1 AS forgettable")
    shop.snapshot()
    shop.execute(
        "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), queryid)"
        " FROM pg_stat_statements WHERE query LIKE '%forgettable%'"
    )
    shop.snapshot()
    shop.kept_write(
        "UPDATE pgops.query_statements SET first_seen = now() - interval '9 days' WHERE database = %(database)s;"
        "DELETE FROM pgops.query_days d USING pgops.query_statements s WHERE s.id = d.statement"
        " AND s.database = %(database)s"
    )
    reviewed()
    texts = shop.kept(
        "SELECT t.text FROM pgops.query_statements s JOIN pgops.query_texts t USING (fingerprint)"
        " WHERE s.database = %(database)s"
    )
    assert [text for (text,) in texts if "user_id" in text] and not [text for (text,) in texts if "forgettable" in text]
