"""What is planned: by bounds, in time zones, between what is there; on real catalogs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from pgops.errors import Refused
from pgops.partitions import Plan, lines, plan
from pgops.postgres import Dsn
from tests.partitions.parents import NOW, edges, findings, made, news, partitions, planned, policies, run

EVENTS = "CREATE TABLE events (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
MONTHLY = policies({"premake": 2})


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_the_current_interval_and_those_ahead_are_planned(each_database: Dsn) -> None:
    run(each_database, EVENTS)
    assert news(planned(each_database, MONTHLY)) == [
        ("events_2026_03", "2026-03-01", "2026-04-01"),
        ("events_2026_04", "2026-04-01", "2026-05-01"),
        ("events_2026_05", "2026-05-01", "2026-06-01"),
    ]
    made(each_database, MONTHLY)
    done = planned(each_database, MONTHLY)
    assert not done.create
    assert done.horizon == at(2026, 6, 1)
    assert not done.findings


@pytest.mark.parametrize(
    ("now", "interval", "expected"),
    [
        (at(2026, 1, 31, 23, 59), "month", ["2026-01-01", "2026-02-01", "2026-03-01"]),
        (at(2026, 2, 1), "month", ["2026-02-01", "2026-03-01", "2026-04-01"]),
        (at(2026, 12, 31, 23, 59), "month", ["2026-12-01", "2027-01-01", "2027-02-01"]),
        (at(2028, 2, 28, 12), "day", ["2028-02-28", "2028-02-29", "2028-03-01"]),
        (at(2027, 2, 28, 12), "day", ["2027-02-28", "2027-03-01", "2027-03-02"]),
        (at(2026, 12, 31, 12), "day", ["2026-12-31", "2027-01-01", "2027-01-02"]),
        (at(2026, 12, 31, 12), "week", ["2026-12-28", "2027-01-04", "2027-01-11"]),
        (at(2026, 12, 31, 12), "quarter", ["2026-10-01", "2027-01-01", "2027-04-01"]),
        (at(2028, 2, 29), "year", ["2028-01-01", "2029-01-01", "2030-01-01"]),
        (at(2026, 12, 31, 23, 5), "hour", ["2026-12-31 23:00 UTC", "2027-01-01", "2027-01-01 01:00 UTC"]),
    ],
)
def test_month_ends_leap_days_and_year_boundaries(
    database: Dsn, now: datetime, interval: str, expected: list[str]
) -> None:
    run(database, EVENTS)
    assert edges(planned(database, policies({"interval": interval, "premake": 1}), now)) == expected


@pytest.mark.parametrize(
    ("interval", "names"),
    [
        ("hour", ["events_2026_03_15_12", "events_2026_03_15_13"]),
        ("day", ["events_2026_03_15", "events_2026_03_16"]),
        ("week", ["events_2026_w11", "events_2026_w12"]),
        ("quarter", ["events_2026_q1", "events_2026_q2"]),
        ("year", ["events_2026", "events_2027"]),
    ],
)
def test_names_say_the_interval(database: Dsn, interval: str, names: list[str]) -> None:
    run(database, EVENTS)
    assert [name for name, *_ in news(planned(database, policies({"interval": interval, "premake": 1})))] == names


def test_days_begin_in_the_time_zone_of_the_policy_also_when_the_clock_changes(each_database: Dsn) -> None:
    run(each_database, EVENTS)
    berlin = policies({"interval": "day", "premake": 2, "timezone": "Europe/Berlin"})
    assert news(planned(each_database, berlin, at(2026, 3, 28, 23, 30))) == [  # half past midnight of the 29th
        ("events_2026_03_29", "2026-03-28 23:00 UTC", "2026-03-29 22:00 UTC"),  # 23 hours
        ("events_2026_03_30", "2026-03-29 22:00 UTC", "2026-03-30 22:00 UTC"),
        ("events_2026_03_31", "2026-03-30 22:00 UTC", "2026-03-31 22:00 UTC"),
    ]
    autumn = planned(each_database, berlin, at(2026, 10, 25, 12))
    assert news(autumn)[0] == ("events_2026_10_25", "2026-10-24 22:00 UTC", "2026-10-25 23:00 UTC")  # 25 hours
    made(each_database, berlin, at(2026, 3, 28, 23, 30))
    assert not planned(each_database, berlin, at(2026, 3, 29, 0, 30)).create


def test_an_hour_that_the_clock_shows_twice_is_two_partitions(database: Dsn) -> None:
    run(database, EVENTS)
    berlin = policies({"interval": "hour", "premake": 2, "timezone": "Europe/Berlin"})
    assert [name for name, *_ in news(planned(database, berlin, at(2026, 10, 25, 0, 30)))] == [
        "events_2026_10_25_02",
        "events_2026_10_25_02_x2",
        "events_2026_10_25_03",
    ]
    assert edges(planned(database, policies({"interval": "hour", "timezone": "Asia/Kolkata", "premake": 1}), NOW)) == [
        "2026-03-15 11:30 UTC",
        "2026-03-15 12:30 UTC",
        "2026-03-15 13:30 UTC",
    ]


def test_a_midnight_that_the_clock_skips_is_the_instant_of_the_change(database: Dsn) -> None:
    run(database, EVENTS)
    havana = policies({"interval": "day", "premake": 1, "timezone": "America/Havana"})
    assert edges(planned(database, havana, at(2026, 3, 8, 12))) == [
        "2026-03-08 05:00 UTC",  # 01:00 there, one second after 23:59:59
        "2026-03-09 04:00 UTC",
        "2026-03-10 04:00 UTC",
    ]


@pytest.mark.parametrize("kind", ["timestamp", "date"])
def test_keys_without_a_time_zone_are_what_the_wall_shows(each_database: Dsn, kind: str) -> None:
    run(each_database, f"CREATE TABLE events (at {kind}) PARTITION BY RANGE (at)")
    tokyo = policies({"premake": 1, "timezone": "Asia/Tokyo"})
    assert edges(planned(each_database, tokyo, at(2026, 3, 31, 16))) == ["2026-04-01", "2026-05-01", "2026-06-01"]
    made(each_database, tokyo, at(2026, 3, 31, 16))
    run(each_database, "INSERT INTO events VALUES ('2026-04-01'), ('2026-05-31')")


@pytest.mark.parametrize("type_", ["int", "bigint", "numeric"])
def test_numbers_are_kept_ahead_of_the_greatest_key(each_database: Dsn, type_: str) -> None:
    run(each_database, f"CREATE TABLE events (id {type_} PRIMARY KEY) PARTITION BY RANGE (id)")
    by_number = policies({"interval": 1000, "premake": 2})
    assert [name for name, *_ in news(planned(each_database, by_number))] == [
        "events_p0",
        "events_p1000",
        "events_p2000",
    ]
    made(each_database, by_number)
    run(each_database, "INSERT INTO events VALUES (7), (1999)")
    assert news(planned(each_database, by_number)) == [("events_p3000", "3000", "4000")]


def test_numbers_go_on_at_the_offset_that_is_there_and_end_with_their_type(database: Dsn) -> None:
    run(
        database,
        "CREATE TABLE events (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE events_first PARTITION OF events FOR VALUES FROM (1) TO (1001)",
    )
    assert edges(planned(database, policies({"interval": 1000, "premake": 2}))) == ["1001", "2001", "3001"]
    run(
        database,
        "CREATE TABLE events_last PARTITION OF events FOR VALUES FROM (2147483000) TO (2147483600)",
        "INSERT INTO events VALUES (2147483599)",
    )
    by_number = policies({"interval": 1000, "premake": 3})
    assert edges(planned(database, by_number)) == ["2147483600", "without end"]
    made(database, by_number)
    run(database, "INSERT INTO events VALUES (2147483647)")


def test_uuids_of_version_7_are_planned_by_their_instant(each_database: Dsn) -> None:
    run(each_database, "CREATE TABLE events (id uuid PRIMARY KEY) PARTITION BY RANGE (id)")
    made(each_database, MONTHLY)
    assert not planned(each_database, MONTHLY).create
    march = int(at(2026, 3, 15).timestamp() * 1000)
    run(each_database, f"INSERT INTO events VALUES ('{march >> 16:08x}-{march & 0xFFFF:04x}-7000-8000-000000000001')")
    assert run(each_database, "SELECT count(*) FROM events_2026_03") == [(1,)]
    run(
        each_database,
        "DROP TABLE events_2026_05",
        "DROP TABLE events_2026_04",
    )
    assert news(planned(each_database, MONTHLY))[0] == ("events_2026_04", "2026-04-01", "2026-05-01")


def test_bounds_are_the_truth_and_names_are_not(database: Dsn) -> None:
    run(
        database,
        EVENTS,
        "CREATE TABLE events_2026_04 PARTITION OF events FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00')",
    )
    assert news(planned(database, MONTHLY)) == [
        ("events_2026_04_x2", "2026-04-01", "2026-05-01"),
        ("events_2026_05", "2026-05-01", "2026-06-01"),
    ]


def test_new_partitions_fit_exactly_between_those_there(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        "CREATE TABLE week PARTITION OF events FOR VALUES FROM ('2026-03-09+00') TO ('2026-03-16+00')",
        "CREATE TABLE odd PARTITION OF events FOR VALUES FROM ('2026-04-20 06:00+00') TO ('2026-05-02+00')",
    )
    assert news(planned(each_database, MONTHLY)) == [
        ("events_2026_03", "2026-03-01", "2026-03-09"),
        ("events_2026_03_16", "2026-03-16", "2026-04-01"),
        ("events_2026_04", "2026-04-01", "2026-04-20 06:00 UTC"),
        ("events_2026_05_02", "2026-05-02", "2026-06-01"),
    ]
    made(each_database, MONTHLY)
    assert not planned(each_database, MONTHLY).create


def test_a_partition_without_end_needs_nothing_beyond_it(database: Dsn) -> None:
    run(database, EVENTS, "CREATE TABLE rest PARTITION OF events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)")
    done = planned(database, MONTHLY)
    assert not done.create
    assert "the end of time" in "\n".join(lines(plan(database, MONTHLY, NOW)))


def test_infinity_and_years_beyond_the_calendar_are_understood(database: Dsn) -> None:
    run(
        database,
        EVENTS,
        "CREATE TABLE old PARTITION OF events FOR VALUES FROM ('0044-03-15 BC') TO ('2026-01-01+00')",
        "CREATE TABLE far PARTITION OF events FOR VALUES FROM ('2026-04-01+00') TO ('20000-01-01+00')",
    )
    assert edges(planned(database, MONTHLY)) == ["2026-03-01", "2026-04-01"]
    run(database, "CREATE TABLE other (at timestamptz) PARTITION BY RANGE (at)")
    run(database, "CREATE TABLE o PARTITION OF other FOR VALUES FROM ('-infinity') TO ('infinity')")
    assert not planned(database, policies({"parent": "public.other"}), parent="public.other").create


def test_no_current_partition_an_early_end_and_old_gaps_are_findings(database: Dsn) -> None:
    run(
        database,
        EVENTS,
        "CREATE TABLE a PARTITION OF events FOR VALUES FROM ('2025-10-01+00') TO ('2025-11-01+00')",
        "CREATE TABLE b PARTITION OF events FOR VALUES FROM ('2025-12-01+00') TO ('2026-02-01+00')",
    )
    found = planned(database, MONTHLY)
    assert found.horizon is None
    assert "There is no partition for 2026-03-15 12:00 UTC: inserts fail" in findings(found)
    assert "gaps in the past: 2025-11-01 to 2025-12-01, 2026-02-01 to 2026-03-01" in findings(found)
    run(database, "CREATE TABLE c PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-04-01+00')")
    assert "The partitions end at 2026-04-01" in findings(planned(database, MONTHLY))


def test_tables_without_a_policy_and_policies_without_a_table_are_findings(database: Dsn) -> None:
    run(
        database,
        EVENTS,
        "CREATE TABLE logs (at timestamptz) PARTITION BY RANGE (at)",
        "CREATE TABLE quiet (at timestamptz) PARTITION BY RANGE (at)",
        "CREATE TABLE pairs (a int, b int) PARTITION BY RANGE (a, b)",
        "CREATE TABLE regions (r text) PARTITION BY LIST (r)",
        "CREATE TABLE shards (r text) PARTITION BY HASH (r)",
        "CREATE TABLE shards2 (r text) PARTITION BY HASH (r)",
        "CREATE TABLE computed (at timestamptz) PARTITION BY RANGE ((at AT TIME ZONE 'UTC'))",
        "CREATE TABLE words (w text) PARTITION BY RANGE (w)",
    )
    named = ("public.pairs", "public.shards", "public.computed", "public.words", "public.evnets")
    all_policies = policies({}, *({"parent": name} for name in named), ignore=["public.qui*"])
    found = plan(database, all_policies, NOW)
    assert [one.parent.title for one in found.parents] == ["public.events"]
    assert sorted(one.what for one in found.findings) == [
        "The policy of public.evnets fits no partitioned table",
        "public.computed cannot be planned: it is partitioned by an expression",
        "public.logs is partitioned by range and has no policy: nobody makes its next partition",
        "public.pairs cannot be planned: it is partitioned by 2 columns",
        "public.shards cannot be planned: it is partitioned by hash",
        "public.words cannot be planned: its key w is of type text",
    ]
    with pytest.raises(Refused, match=r"public\.logs is no table"):
        plan(database, all_policies, NOW, only="public.logs")


@pytest.mark.parametrize(("type_", "interval"), [("bigint", "month"), ("timestamptz", 100), ("date", "hour")])
def test_an_interval_that_does_not_fit_the_key_is_a_finding(database: Dsn, type_: str, interval: str | int) -> None:
    run(database, f"CREATE TABLE events (k {type_}) PARTITION BY RANGE (k)")
    found = plan(database, policies({"interval": interval}), NOW)
    assert not found.parents
    assert f"interval of its policy is {interval}" in findings(found)


def test_patterns_take_the_first_policy_that_fits(database: Dsn) -> None:
    run(database, EVENTS, "CREATE TABLE events_b (at timestamptz) PARTITION BY RANGE (at)")
    two = policies({"parent": "public.events_*", "interval": "day"}, {"parent": "public.e*", "interval": "year"})
    found = {one.parent.title: one.policy.interval for one in plan(database, two, NOW).parents}
    assert found == {"public.events": "year", "public.events_b": "day"}


def test_retention_names_the_old_ones_and_a_legal_hold_none(database: Dsn) -> None:
    run(database, EVENTS)
    for month in range(1, 7):
        bounds = f"FROM ('2024-0{month}-01+00') TO ('2024-0{month + 1}-01+00')"
        run(database, f"CREATE TABLE e{month} PARTITION OF events FOR VALUES {bounds}")
    found = planned(database, policies({"retention": "24 months"}), at(2026, 3, 31))
    assert [one.name for one in found.retire] == ["e1", "e2"]  # 24 months before is 2024-03-31
    held = planned(database, policies({"retention": "24 months", "legal_hold": "case 7"}), NOW)
    assert not held.retire
    assert "legal hold (case 7)" in findings(held)


def test_rows_in_default_are_counted_by_the_range_they_belong_to(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        "CREATE TABLE events_default PARTITION OF events DEFAULT",
        "INSERT INTO events VALUES (1, '2026-04-03+00'), (2, '2026-04-04+00'), (3, '2020-01-01+00')",
    )
    found = planned(each_database, MONTHLY)
    assert [new.default_rows for new in found.create] == [0, 2, 0]
    assert "3 rows are in DEFAULT, with at from 2020-01-01 00:00:00+00 to 2026-04-04 00:00:00+00" in findings(found)
    assert "2 from 2026-04-01 to 2026-05-01" in findings(found)
    assert [one.bad for one in found.findings] == [True, True]
    drained = planned(each_database, policies({"premake": 2, "default": "drain"}))
    assert "2 of them move into new partitions" in findings(drained)


def test_sub_partitions_are_planned_within_their_parent(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        "CREATE TABLE m03 PARTITION OF events FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00')"
        " PARTITION BY RANGE (at)",
        "CREATE TABLE m04 PARTITION OF events FOR VALUES FROM ('2026-04-01+00') TO ('2026-05-01+00')"
        " PARTITION BY RANGE (at)",
    )
    two = policies({"premake": 1}, {"parent": "public.m*", "interval": "day", "premake": 2})
    found = {one.parent.name: one for one in plan(each_database, two, at(2026, 3, 30, 9)).parents}
    assert not found["events"].create
    assert edges(found["m03"]) == ["2026-03-30", "2026-03-31", "2026-04-01"]
    assert edges(found["m04"]) == ["2026-04-01", "2026-04-02"]
    assert "no partition" not in findings(found["m04"])


def test_names_of_63_bytes_are_shortened_and_stay_apart(each_database: Dsn) -> None:
    long, other = "ä" * 31 + "a", "ä" * 31 + "b"
    run(
        each_database,
        f'CREATE TABLE "{long}" (at timestamptz) PARTITION BY RANGE (at)',
        f'CREATE TABLE "{other}" (at timestamptz) PARTITION BY RANGE (at)',
    )
    both = policies({"parent": "public.ä*", "premake": 1})
    for parent in (long, other):
        made(each_database, both, parent=f"public.{parent}")
        names = list(partitions(each_database, f'"{parent}"'))
        assert len(names) == 2
        assert all(len(name.encode()) <= 63 and name.endswith(("_2026_03", "_2026_04")) for name in names)
    assert not any(one.create for one in plan(each_database, both, NOW).parents)


def test_a_plan_survives_json(database: Dsn) -> None:
    run(database, EVENTS, "CREATE TABLE n (id bigint PRIMARY KEY) PARTITION BY RANGE (id)")
    found = plan(database, policies({}, {"parent": "public.n", "interval": 10}), NOW)
    adapter = TypeAdapter(Plan)
    assert adapter.validate_json(adapter.dump_json(found)) == found


def test_a_dry_run_says_what_would_be_done(database: Dsn) -> None:
    run(
        database,
        EVENTS,
        "CREATE TABLE old PARTITION OF events FOR VALUES FROM ('2020-01-01+00') TO ('2021-01-01+00')",
    )
    said = lines(plan(database, policies({"premake": 1, "retention": "2 years"}), NOW))
    assert said[0] == "public.events: 1 partitions, no current partition"
    assert "  create events_2026_03 from 2026-03-01 to 2026-04-01" in said
    assert any(line.startswith("  retire public.old from 2020-01-01 to 2021-01-01") for line in said)
    assert partitions(database).keys() == {"old"}


def test_an_instant_without_a_time_zone_is_refused(database: Dsn) -> None:
    with pytest.raises(Refused, match="time zone"):
        plan(database, MONTHLY, datetime(2026, 3, 1))
