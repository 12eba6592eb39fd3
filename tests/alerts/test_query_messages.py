"""What Slack gets of a query review: the worst first, within Slack's limits, nothing in it is markup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pgops.alerts.blocks import MESSAGE_BLOCKS, text_length
from pgops.alerts.queries import QueryNews, query_message
from pgops.queries.daily import Reviewed

NOW = datetime(2026, 11, 23, 6, 31, tzinfo=UTC)


def reviewed(name: str, added: float = 0.0, query: str = "SELECT 1") -> Reviewed:
    found = {"cause": "changed plan", "added": added, "why": "index gone", "query": query, "user": "app"}
    advice = {"kind": "candidate", "object": "public.t (a)", "says": "1 query", "proof": "HypoPG", "apply": ["X"],
              "saved": added}  # fmt: skip
    return Reviewed(
        database=name, at=NOW, queries=7, seconds=100, regressions=(found,) if added else (), new=(), slowest=(),
        deployments=(), advice=(advice,) if added else (), pairs=(), notes=("counting begins now",),
    )  # fmt: skip


def news(*found: Reviewed, **failed: str) -> QueryNews:
    return QueryNews(found, NOW, 60, "http://airflow.test/log", failed, "./dev run query_review")


def test_the_worst_regression_of_the_fleet_comes_first():
    message = query_message(news(reviewed("a", 10, "SELECT small"), reviewed("b", 900, "SELECT big")))
    shown = str(message.blocks)
    assert "2 regressions" in message.text and shown.index("SELECT big") < shown.index("SELECT small")
    assert "15 min more a day" in shown and "query-regression" in shown


def test_a_quiet_day_is_good_news_and_one_that_was_not_reviewed_is_not():
    assert "nothing got worse" in query_message(news(reviewed("a"))).text
    message = query_message(news(reviewed("a"), b="CREATE EXTENSION pg_stat_statements"))
    assert "1 NOT REVIEWED" in message.text and "queries-not-reviewed" in str(message.blocks)


def test_a_large_fleet_with_long_and_hostile_texts_stays_within_slacks_limits():
    nasty = "<!channel> `*_~" + "x" * 5000
    found = [replace(reviewed(f"db{n}", n + 1, nasty), notes=(nasty,), deployments=(nasty,)) for n in range(500)]
    message = query_message(news(*found, **{f"bad{n}": nasty for n in range(50)}))
    assert len(message.blocks) <= MESSAGE_BLOCKS and text_length(list(message.blocks)) < 11_000
    assert "<!channel>" not in str(message.blocks)
