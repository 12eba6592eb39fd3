"""Where a person's data lies: every shape of foreign key, what the policy names, and what nobody named."""

from __future__ import annotations

import pytest

from pgops.errors import Refused
from pgops.privacy import identify, read_map, search


def test_every_shape_of_foreign_key_is_followed(shop, policy):
    found = read_map(shop, "app", policy())
    assert {one.title for one in found.tables} == {
        "public.users", "public.orders", "public.items", 'Odd "schema.ta ble', "public.comments", "public.events",
        "public.history", "public.history_1",
    }  # fmt: skip
    assert found.obstacles == ()
    assert "user_id -> public.users (id)" in {one.title: one.path for one in found.tables}["public.orders"]


def test_children_come_before_their_parents(shop, policy):
    order = [one.title for one in read_map(shop, "app", policy()).tables]
    assert order.index("public.comments") < order.index("public.items") < order.index("public.orders")
    assert order[-1] == "public.users" or order.index("public.orders") < order.index("public.users")


def test_a_persons_rows_are_counted_in_each_table_and_nobody_elses(shop, policy):
    mapped = read_map(shop, "app", policy())
    found = search(shop, mapped, identify(shop, mapped, "7"))
    assert {one.table: one.rows for one in found.tables} == {
        "public.users": 1,
        "public.orders": 2,
        "public.items": 6,
        'Odd "schema.ta ble': 2,  # also the one whose reference is not whole: it names the person
        "public.comments": 4,  # one's own, the two below it that the database would delete, and one on an item
        "public.events": 2,
        "public.history": 1,
        "public.history_1": 1,
    }
    assert found.archives is None


def test_a_column_that_looks_like_a_persons_is_a_warning_and_the_same_value_in_it_is_counted(shop, policy):
    mapped = read_map(shop, "app", policy())
    assert any("public.newsletter.email looks as if it named a person" in one for one in mapped.warnings)
    found = search(shop, mapped, identify(shop, mapped, "7"))
    assert any("public.newsletter.email holds the same value as" in one and "1 rows" in one for one in found.warnings)
    assert not any("unrelated" in one for one in found.warnings)


def test_what_other_peoples_rows_lose_is_said(shop, policy):
    mapped = read_map(shop, "app", policy())
    found = search(shop, mapped, identify(shop, mapped, "7"))
    assert "1 rows of public.users lose manager_id, by which they reference public.users" in found.warnings


def test_a_named_table_that_is_missing_is_a_finding_and_one_that_nothing_leads_to_an_obstacle(one_shop, policy):
    found = read_map(one_shop, "app", policy({"table": "public.gone"}, {"table": "public.unrelated"}))
    assert any("public.gone" in one and "not there" in one for one in found.warnings)
    assert found.obstacles == ("no foreign key leads from public.unrelated to a person: name its column",)


def test_rows_that_stay_but_need_a_row_that_goes_are_an_obstacle(one_shop, policy):
    kept = {"table": "public.orders", "action": "keep", "reason": "tax"}
    found = read_map(one_shop, "app", policy(kept))
    assert len(found.obstacles) == 1 and "rows of public.orders stay (keep)" in found.obstacles[0]
    also = {"table": "public.users", "action": "anonymise", "set": {"email": ""}}
    found = read_map(one_shop, "app", policy(kept, also))
    assert found.obstacles == ()
    items = next(one for one in found.tables if one.title == "public.items")
    assert (items.action, items.reason) == ("keep", "belongs to rows of public.orders, which stay")


def test_a_materialized_view_of_mapped_tables_is_a_warning(one_shop, policy, execute):
    execute(one_shop, "CREATE VIEW v AS SELECT * FROM orders; CREATE MATERIALIZED VIEW m AS SELECT * FROM v")
    assert any("materialized view public.m" in one for one in read_map(one_shop, "app", policy()).warnings)


def test_a_partition_that_is_pending_detach_is_searched_too(one_shop, policy, execute):
    execute(
        one_shop,
        "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'events_1'::regclass",
    )
    mapped = read_map(one_shop, "app", policy())
    found = search(one_shop, mapped, identify(one_shop, mapped, "7"))
    assert next(one.rows for one in found.tables if one.table == "public.events") == 2


@pytest.mark.parametrize("change", [{"subject": "public.people"}, {"key": "number"}], ids=["table", "column"])
def test_a_policy_without_its_table_of_persons_is_refused(one_shop, policy, change):
    with pytest.raises(Refused, match=next(iter(change.values()))):
        read_map(one_shop, "app", policy(**change))


@pytest.mark.parametrize("key", ["7; DROP TABLE users", "7' OR '1'='1", "x", "", "7\0", "7.5", "99999999999999999999"])
def test_a_key_that_is_no_key_is_refused_and_not_repeated(shop, policy, execute, key):
    mapped = read_map(shop, "app", policy())
    with pytest.raises(Refused, match="The subject's key is no bigint") as refusal:
        identify(shop, mapped, key)
    assert not key or key not in f"{refusal.value} {refusal.value.__cause__} "
    assert execute(shop, "SELECT count(*) FROM users") == [(2,)]


@pytest.mark.parametrize("key", ["'; DROP TABLE users; --", "%s", "{key}", "$1", "' OR true --"])
def test_a_text_key_that_is_sql_finds_nobody(one_shop, policy, execute, key):
    mapped = read_map(one_shop, "app", policy(key="email", tables=[]))
    found = search(one_shop, mapped, identify(one_shop, mapped, key))
    assert found.rows == 0 and execute(one_shop, "SELECT count(*) FROM users") == [(2,)]


def test_a_key_is_compared_as_its_type_compares(one_shop, policy, execute):
    mapped = read_map(one_shop, "app", policy())
    assert identify(one_shop, mapped, " +07 ").key == "7"
    execute(one_shop, "CREATE EXTENSION citext; ALTER TABLE users ALTER email TYPE citext")
    by_mail = read_map(one_shop, "app", policy(key="email", tables=[]))
    person = identify(one_shop, by_mail, "Seven@Example.com")
    assert person.key == "seven@example.com" and search(one_shop, by_mail, person).rows > 0
