"""Whatever fails, the rest of the report comes, and says what is missing; nobody is kept waiting."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from pgops.health import UNREACHABLE, Budget, Check, Outcome, Report, Status, Target, checks, compare, run
from pgops.health.model import Threshold
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer, free_port
from tests.servers import eventually

FINE = "SELECT '' AS object, 5 AS value, 'fine' AS says, NULL AS mend"


def made(name: str, query: str = FINE, **parts: Any) -> Check:
    whole = Check(
        name=name,
        title=name,
        purpose="",
        scope="database",
        kind="state",
        versions=((15, 18, query),),
        privileges=(),
        heavy=False,
        dimension="count",
        info=None,
        warn=Threshold(True, False, 10),
        crit=None,
        source="",
        mend="words",
        risk="none",
    )
    return replace(whole, **parts)


def the(report: Report, name: str) -> Outcome:
    (outcome,) = [one for one in report.outcomes if one.check.name == name]
    return outcome


def looked(dsn: Dsn, *asked: Check, budget: Budget | None = None, **target: Any) -> Report:
    return run(Target("app", dsn, **target), checks=asked, budget=budget)


@pytest.fixture
def poor(postgres: PostgresServer, database: Dsn) -> Iterator[Dsn]:
    """The database, as a role that was granted nothing."""
    postgres.execute("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    yield replace(database, user="poor", password="poor")
    postgres.execute("DROP OWNED BY poor; DROP ROLE poor", database.dbname)


# --- privileges ---


def test_what_a_role_cannot_see_is_skipped_and_never_ok(poor: Dsn) -> None:
    needy = [check for check in checks() if check.privileges]
    report = run(Target("app", poor, facts={"disk_bytes": "1000000000"}), checks=needy)
    assert needy
    for one in report.outcomes:
        if one.check is UNREACHABLE:
            continue
        assert one.status is Status.SKIPPED, one.check.name
        assert one.why.startswith(("no privilege: the role needs", "there is no ledger")), one.check.name
    assert report.grade is Status.UNKNOWN


def test_pg_monitor_alone_does_not_see_statistics_of_columns(poor: Dsn, postgres: PostgresServer) -> None:
    postgres.execute("GRANT pg_monitor TO poor")
    report = run(Target("app", poor))
    assert the(report, "connections_used").status is Status.OK
    assert the(report, "table_bloat").why == "no privilege: the role needs pg_read_all_data"


def test_no_check_that_claims_to_need_nothing_needs_something(poor: Dsn) -> None:
    claimed = [check for check in checks() if not check.privileges and check.scope in ("instance", "database")]
    report = run(Target("app", poor), checks=claimed)
    assert not [one.check.name for one in report.outcomes if "no privilege" in one.why]


def test_a_refusal_that_no_header_foresaw_is_skipped_too(poor: Dsn) -> None:
    report = looked(
        poor, made("secret", "SELECT '' AS object, count(*) AS value, '' AS says, '' AS mend FROM pg_authid")
    )
    assert the(report, "secret").status is Status.SKIPPED
    assert "permission denied" in the(report, "secret").why


def test_a_relation_that_a_check_needs_is_asked_for_before(poor: Dsn, database: Dsn) -> None:
    check = made("secret", privileges=("select pg_catalog.pg_authid",))
    assert "the role needs select" in the(looked(poor, check), "secret").why
    assert the(looked(database, check), "secret").status is Status.OK


# --- what fails fails alone ---


def test_a_timeout_in_one_check_costs_that_check_alone(each_database: Dsn) -> None:
    slow = made("slow", "SELECT '' AS object, 1 AS value, pg_sleep(60)::text AS says, '' AS mend")
    asked = (made("before"), slow, made("heavy", heavy=True), made("after"))
    report = looked(each_database, *asked, budget=Budget(check=0.3))
    assert the(report, "slow").status is Status.UNKNOWN
    assert "not done within its 0.3 s" in the(report, "slow").why
    assert [the(report, name).status for name in ("before", "heavy", "after")] == [Status.OK] * 3


def test_a_broken_check_costs_that_check_alone(each_database: Dsn) -> None:
    report = looked(each_database, made("before"), made("broken", "SELECT nonsense"), made("after"))
    assert the(report, "broken").status is Status.UNKNOWN
    assert "SQLSTATE 42703" in the(report, "broken").why
    assert [the(report, name).status for name in ("before", "after")] == [Status.OK] * 2


def test_a_name_in_no_encoding_costs_its_check_alone(each_postgres: PostgresServer) -> None:
    each_postgres.execute("CREATE DATABASE old ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    dsn = Dsn("127.0.0.1", each_postgres.port, "old", "postgres", each_postgres.password)
    names = "SELECT relname AS object, 11 AS value, '' AS says, '' AS mend FROM pg_class WHERE relname LIKE '%s'"
    asked = made("good", names % "good%"), made("bad", names % "bad%"), made("after")
    try:
        with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:
            connection.autocommit = True
            for encoding, name in (("UTF8", "good: é"), ("LATIN1", "bad: é")):
                connection.set_client_encoding(encoding)
                connection.cursor().execute(f'CREATE TABLE "{name}" ()')
            connection.cursor().execute('CREATE ROLE "bad: é"')
        report = looked(dsn, *asked)
        roles = made("bad", "SELECT rolname AS object, 11 AS value, '' AS says, '' AS mend FROM pg_roles")
        beside = looked(replace(dsn, dbname="postgres"), roles, made("after"))
        with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:
            connection.set_client_encoding("LATIN1")
            connection.cursor().execute('DROP ROLE "bad: é"')
            connection.commit()
    finally:
        each_postgres.execute("DROP DATABASE old WITH (FORCE)")
    assert [one.object for one in report.findings] == ["good: é"]
    for one in (report, beside):
        assert the(one, "bad").status is Status.UNKNOWN and "UTF" in the(one, "bad").why
        assert the(one, "after").status is Status.OK


def test_a_run_that_has_used_its_time_says_what_it_did_not_ask(database: Dsn) -> None:
    slow = made("slow", "SELECT '' AS object, 1 AS value, pg_sleep(60)::text AS says, '' AS mend", heavy=True)
    report = looked(database, made("cheap"), slow, made("late", heavy=True), budget=Budget(check=60, run=1))
    assert the(report, "cheap").status is Status.OK
    assert the(report, "slow").status is Status.UNKNOWN
    assert "not asked: the run's 1.0 s were used up" in the(report, "late").why


def test_a_connection_that_is_lost_in_the_middle_loses_only_what_comes_after(database: Dsn) -> None:
    killer = "SELECT '' AS object, 1 AS value, pg_terminate_backend(pg_backend_pid())::text AS says, '' AS mend"
    report = looked(database, made("cheap"), made("killer", killer, heavy=True), made("late", heavy=True))
    assert the(report, "cheap").status is Status.OK
    assert the(report, "late").status is Status.UNKNOWN
    assert report.grade is Status.CRIT


def test_a_server_that_is_down_is_critical_and_resolves_nothing(database: Dsn) -> None:
    wrong = made("wrong", FINE.replace("5", "50"))
    before = compare(looked(database, wrong, server="db1"), ()).open
    down = looked(replace(database, port=free_port()), wrong, server="db1")
    assert (down.grade, the(down, "wrong").status) == (Status.CRIT, Status.UNKNOWN)
    (finding,) = down.findings
    assert finding.check == "unreachable"
    assert "Check that the server runs" in finding.mend
    changes = compare(down, before)
    assert changes.unseen == before
    assert [one.check for one in changes.new] == [UNREACHABLE.name]


def test_a_standby_that_is_down_is_named_and_the_rest_comes(database: Dsn) -> None:
    gone = {"gone": replace(database, port=free_port())}
    report = looked(
        database,
        made("plain"),
        made("anywhere", heavy=True, on="any"),
        made("everywhere", on="every"),
        made("of_it", scope="standby"),
        standbys=gone,
    )
    assert the(report, "plain").status is Status.OK
    assert the(report, "anywhere").status is Status.OK
    assert the(report, "of_it").status is Status.UNKNOWN
    assert [one.server for one in report.findings if one.check == UNREACHABLE.name] == ["gone"]


def test_what_must_hold_everywhere_is_unknown_while_a_standby_cannot_be_asked(database: Dsn) -> None:
    wrong = made("everywhere", FINE.replace("5", "50"), on="every")
    assert the(looked(database, wrong), "everywhere").status is Status.WARN
    report = looked(database, wrong, standbys={"gone": replace(database, port=free_port())})
    assert the(report, "everywhere").status is Status.UNKNOWN
    assert the(report, "everywhere").why.startswith("standby gone:")


def test_only_what_all_servers_agree_on_is_found_everywhere(database: Dsn) -> None:
    other = replace(database, dbname="postgres")
    query = "SELECT unnest(ARRAY['both', current_database()]) AS object, 50 AS value, 'unused' AS says, NULL AS mend"
    report = looked(database, made("everywhere", query, on="every"), standbys={"other": other})
    assert [(one.object, one.says) for one in report.findings] == [("both", "unused; the same on 1 standbys")]


def test_heavy_work_goes_to_a_standby_where_there_is_one(database: Dsn) -> None:
    where = "SELECT '' AS object, 50 AS value, current_database() AS says, NULL AS mend"
    asked = (made("anywhere", where, heavy=True, on="any"), made("here", where, heavy=True))
    report = looked(database, *asked, standbys={"other": replace(database, dbname="postgres")})
    assert {one.check: one.says for one in report.findings} == {"anywhere": "postgres", "here": database.dbname}
    assert {one.server for one in report.findings} == {report.server}


def test_without_a_ledger_its_checks_are_skipped_and_with_a_dead_one_unknown(database: Dsn) -> None:
    check = made("backups", scope="ledger")
    assert the(looked(database, check), "backups").why == "there is no ledger"
    dead = looked(database, check, ledger=replace(database, port=free_port()))
    assert the(dead, "backups").status is Status.UNKNOWN
    query = FINE.replace("'fine'", "current_setting('pgops.database')").replace("5", "50")
    (finding,) = looked(database, made("backups", query, scope="ledger"), ledger=database).findings
    assert finding.says == "app"


# --- said, not guessed ---


def test_a_version_that_nobody_tried_is_skipped(database: Dsn) -> None:
    report = looked(database, replace(made("old"), versions=((9, 12, "SELECT"),)))
    assert the(report, "old").status is Status.SKIPPED
    assert "is not supported, 9 to 12 are" in the(report, "old").why


def test_a_fact_that_nobody_told_is_asked_for(database: Dsn) -> None:
    check = made("disk", FINE.replace("5", "current_setting('pgops.disk_bytes')::numeric"), facts=("disk_bytes",))
    assert the(looked(database, check), "disk").why == "not told: disk_bytes"
    assert looked(database, check, facts={"disk_bytes": "11"}).findings[0].value == 11


def test_an_extension_is_found_in_whatever_schema_it_is(database: Dsn, postgres: PostgresServer) -> None:
    check = made("stat", "SELECT '' AS object, count(*) AS value, '' AS says, '' AS mend FROM {schema}.pg_buffercache")
    check = replace(check, extension="pg_buffercache")
    assert "pg_buffercache is not installed" in the(looked(database, check), "stat").why
    postgres.execute('CREATE SCHEMA "odd\'s"', database.dbname)
    postgres.execute('CREATE EXTENSION pg_buffercache SCHEMA "odd\'s"', database.dbname)
    assert the(looked(database, check), "stat").status is Status.WARN


def test_statistics_that_were_just_reset_make_a_difference_unknown(each_database: Dsn) -> None:
    (check,) = [one for one in checks() if one.name == "cache_hit_ratio"]
    now = datetime.now(UTC)
    target = Target("app", each_database)
    first = run(target, checks=[check], now=now - timedelta(days=1))
    assert "first look" in the(first, "cache_hit_ratio").why
    assert the(run(target, checks=[check], history=[first.snapshot]), "cache_hit_ratio").status is Status.OK
    with closing(psycopg2.connect(each_database.conninfo(), password=each_database.password)) as connection:
        connection.cursor().execute("SELECT pg_stat_reset()")
        connection.commit()
    assert "statistics were reset" in the(run(target, checks=[check], history=[first.snapshot]), "cache_hit_ratio").why


# --- polite ---


@contextmanager
def statements(server: PostgresServer, dsn: Dsn) -> Iterator[tuple[Dsn, list[str]]]:
    """The database with all statements logged, and those of the health check when the block ends."""
    said: list[str] = []
    begin = server.log.stat().st_size
    yield replace(dsn, options={"options": "-c log_statement=all"}), said
    text = server.log.read_text(errors="replace")[begin:]
    said += re.findall(r"pgops.health LOG:  statement: (.*)", text)


def test_all_cheap_checks_take_one_round_trip(database: Dsn, postgres: PostgresServer) -> None:
    def trips(many: int) -> int:
        with statements(postgres, database) as (dsn, said):
            assert looked(dsn, *(made(f"check{number}") for number in range(many))).grade is Status.OK
        return len(said)

    assert trips(1) == trips(30) > 0


def test_a_check_cannot_write(database: Dsn, postgres: PostgresServer) -> None:
    postgres.execute("CREATE SEQUENCE numbers", database.dbname)
    writing = made("writing", "SELECT '' AS object, nextval('public.numbers') AS value, '' AS says, '' AS mend")
    assert "25006" in the(looked(database, writing), "writing").why


def test_an_exclusive_lock_is_not_waited_for(database: Dsn) -> None:
    sized = made("sized", "SELECT '' AS object, pg_relation_size('public.t') AS value, '' AS says, '' AS mend")
    with closing(psycopg2.connect(database.conninfo(), password=database.password)) as connection:
        connection.cursor().execute("CREATE TABLE t ()")
        connection.commit()
        connection.cursor().execute("LOCK t")
        report = looked(database, sized, made("other"), budget=Budget(check=60, lock=0.1))
    assert "exclusive lock" in the(report, "sized").why
    assert the(report, "other").status is Status.OK


def test_a_function_of_the_users_does_not_stand_in_for_the_systems(database: Dsn, postgres: PostgresServer) -> None:
    postgres.execute(
        "CREATE FUNCTION pg_relation_size(oid) RETURNS bigint LANGUAGE sql AS 'SELECT 99'", database.dbname
    )
    check = made("sized", FINE.replace("5", "pg_relation_size(1247::oid)"))
    report = looked(database, check)
    assert [one.value for one in the(report, "sized").measures] != [99]


def test_two_looks_at_once_do_not_disturb_each_other(database: Dsn) -> None:
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(looked(database, made("one")))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(reports) == 2)
    assert {one.grade for one in reports} == {Status.OK}
