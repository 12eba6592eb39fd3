"""Recovery beside the source: exactly the state of the target, and nothing written to the source's archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import pytest

from pgops.physical import recover, state
from pgops.physical.checks import Count, amcheck, count_rows
from pgops.physical.drill import archiver, unarchived_since
from pgops.physical.host import SshAddress, SshHost
from pgops.postgres import Dsn
from tests import servers
from tests.physical.recovery.sources import CONTENT, Source, backed_up, run_as
from tests.physical.sshd import running_sshd


@pytest.fixture(scope="module")
def history(each_source: Source) -> dict[str, str]:
    """A source in which something was destroyed; the states before it by the target that leads there."""
    source, states = each_source, {}
    backed_up(source)
    source.sql("insert into items select n, 'before' from generate_series(10001, 10500) n")
    states[source.now().isoformat()] = source.content()
    source.sql("insert into items values (20000, 'at a position')")
    states[source.lsn()] = source.content()
    source.sql("insert into items values (20001, 'at a restore point')")
    states["before_the_release"] = source.content()
    source.sql("select pg_create_restore_point('before_the_release')")
    source.sql("delete from items where id % 2 = 0; insert into items values (30000, 'after')")
    states["latest"] = source.content()
    source.archived()
    return states


def test_each_kind_of_target_brings_back_exactly_its_state(each_source, history):
    source = each_source
    before = source.archive_files()
    for number, (target, content) in enumerate(history.items()):
        recovery = source.recovered(target, f"kind-{number}")
        assert source.copy(recovery)(CONTENT) == content, target
        assert recovery.reached is not None and recovery.reached.timeline == 2
        ask = source.copy(recovery)
        assert ask("select pg_is_in_recovery()") == "f"
        assert ask("show archive_mode") == "off" and ask("show cluster_name").startswith("primary-kind-")
        ask("create table public.scratch as select * from public.items", readonly=False)
        ask("select pg_switch_wal()", readonly=False)
        state.remove(source.place, recovery.id)
    assert source.archive_files() == before, "a recovery never writes into the archive"
    assert len(set(history.values())) == 4


def test_nobody_but_the_owner_gets_in_until_roles_are_let_in(each_source, history):
    import psycopg2

    source = each_source
    source.sql("drop role if exists helper; create role helper login password 'of-the-helper'")
    backed_up(source)
    source.commit_later()
    source.archived()
    recovery = source.recovered("latest", "closed")
    reach = {"host": "127.0.0.1", "port": recovery.port, "dbname": "postgres"}
    for user, password in (("helper", "of-the-helper"), ("postgres", source.server.password)):
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg2.connect(user=user, password=password, **reach)
    until = datetime.now(UTC) + timedelta(hours=5)
    recovery = recover.let_in(source.place, recovery, ["helper"], until)
    psycopg2.connect(user="helper", password="of-the-helper", **reach).close()
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg2.connect(user="postgres", password=source.server.password, **reach)
    assert (recovery.phase, recovery.until) == ("open", until)
    state.remove(source.place, "closed")


def test_names_may_hold_anything(each_source):
    """Of the database that is checked and of its tables, also in the commands that people are given."""
    source, name = each_source, 'it\'s "odd" = $x'
    quoted = name.replace('"', '""')
    source.sql(f'create database "{quoted}"')
    source.server.execute('create table "a|b\nc ""d""" as select n from generate_series(1, 7) n', name)
    backed_up(source)
    source.commit_later()
    source.archived()
    recovery = source.recovered("latest", "odd")
    cluster = state.cluster(source.place, recovery)
    assert count_rows(cluster, name) == (Count('public."a|b\nc ""d"""', 7, False),)
    check = amcheck(cluster, name, 1, install=True)
    assert check.passed and not check.skipped, check
    psql, pg_dump = recover.looks(source.place, recovery, "who else", name)
    shown = source.place.host.run(["sh", "-c", f"psql() {{ printf '%s|' \"$@\"; }}; {psql}"]).stdout
    assert shown == f"--host=localhost|--port={recovery.port}|--username=who else|{name}|" and psql[5:] in pg_dump
    state.remove(source.place, "odd")
    source.sql(f'drop database "{quoted}"')


def test_wal_that_waits_behind_a_timelines_history_is_seen(source):
    """After a promotion the history file is archived first, and its name is no position."""
    host, wal, server = source.place.host, PurePosixPath(source.server.data) / "pg_wal", source.server
    name, dsn = "00000009.history", Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
    server.execute("alter system set archive_command = 'case %f in *.history) exit 0;; *) exit 1;; esac'")
    server.execute("select pg_reload_conf()")
    try:
        host.write(wal / name, b"")
        host.write(wal / "archive_status" / f"{name}.ready", b"")
        source.sql("insert into items values (90000, 'not archived'); select pg_switch_wal()")
        assert servers.eventually(lambda: archiver(dsn)["last_archived_wal"] == name and archiver(dsn)["failing"], 90)
        assert unarchived_since(dsn) == archiver(dsn)["last_archived_time"]
    finally:
        host.run(["sh", "-c", f"rm -f {wal}/{name} {wal}/archive_status/{name}.*"])
        server.execute("alter system reset archive_command")
        server.execute("select pg_reload_conf()")
        source.archived()


def test_a_copy_is_recovered_on_a_host_over_ssh(source):
    """The server outlives the connection that started it."""
    backed_up(source)
    target, content = source.now().isoformat(), source.content()
    source.commit_later()
    source.archived()
    with running_sshd() as sshd:
        address = SshAddress(
            "127.0.0.1", sshd.port, "operator", private_key=sshd.private_key, host_key=sshd.public_host_key
        )
        host = SshHost(address, run_as(source.server.identity))
        place = replace(source.place, host=host)
        made = source.plan(target)
        recovery = recover.prepare(place, "over-ssh", made, datetime.now(UTC), timedelta(hours=1))
        recovery = recover.restore(place, recovery, source.engine)
        host.close()
        recovery = recover.recover(place, recovery, source.engine, patience_seconds=0)
        host.close()
        assert state.cluster(place, recovery).ask(CONTENT) == content
        host.close()
    assert source.copy(recovery)(CONTENT) == content
