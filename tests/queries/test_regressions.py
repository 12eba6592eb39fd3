"""The daily review on real servers: a planted regression is found and named first, a candidate becomes a migration."""

from __future__ import annotations

import pytest

from pgops.queries.daily import Desk, Reviewed, Target, Whole, review_queries
from pgops.queries.review import Thresholds
from pgops.queries.table import table
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
