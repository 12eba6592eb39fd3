"""Recovery over the source itself: what was there stays, and everything that hung on it is there again."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.physical import in_place
from pgops.physical.host import LocalHost
from pgops.physical.in_place import Site
from pgops.physical.plan import parse_target, plan
from pgops.physical.recoverability import WalReader, survey
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer
from tests import servers
from tests.physical.archived import archived_server, walg
from tests.physical.recovery.sources import CONTENT, Source, archiving_source, backed_up, run_as


@pytest.fixture
def source():
    with archiving_source(servers.MAJORS[0]) as source:
        yield source


def site_of(source: Source) -> Site:
    server = source.server
    dsn = Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
    return Site(source.place.host, PurePosixPath(server.data), source.place.bindir, dsn)


def destroyed(source: Source) -> tuple[str, str]:
    """A destructive statement; the instant before it, and the content then."""
    backed_up(source)
    source.sql("insert into items select n, 'kept' from generate_series(10001, 10100) n")
    at, content = source.now(), source.content()
    source.sql("drop table items")
    source.archived()
    return at.isoformat(), content


STEPS = ("set_aside", "restore", "recover", "serve", "finish")


def step(name, site, state, source):
    if name in ("set_aside", "serve"):
        return getattr(in_place, name)(site, state)
    return getattr(in_place, name)(site, state, source.engine)


def test_a_server_is_recovered_over_and_the_way_back_works(each_fresh_source):
    source = each_fresh_source
    source.sql("select pg_create_physical_replication_slot('of_the_standby')")
    target, content = destroyed(source)
    site, before = site_of(source), datetime.now(UTC)
    state = in_place.begin(site, "run-1", source.plan(target), before)
    for name in STEPS:
        # Each step may die after its work and before its note, or be tried again after both.
        state = step(name, site, state, source)
        assert step(name, site, state, source) == state
    assert (state.phase, source.content()) == ("done", content)
    assert source.sql("select slot_name::text from pg_replication_slots") == [("of_the_standby",)]
    assert source.sql("show archive_mode") == [("on",)] and source.sql("show listen_addresses") == [("127.0.0.1",)]
    newest = source.engine.backups()[-1]
    assert newest.timeline == 2 and newest.started_at > before
    assert 2 in source.engine.archive().histories
    # What was written after the recovery can be recovered, too.
    source.sql("insert into items values (99999, 'on the new timeline')")
    content = source.content()
    source.archived()
    recovery = source.recovered("latest")
    assert source.copy(recovery)("select count(*) from public.items where id = 99999") == "1"
    # Tasks of a recovery that is done, cleared and run again, throw away nothing of it.
    again = in_place.begin(site, "run-1", state.plan, datetime.now(UTC))
    for name in STEPS:
        again = step(name, site, again, source)
    assert again == state and source.content() == content
    # And the way back leads to the state before; who goes it twice does no harm.
    for check in (True, False):
        take_back(source, site, state, check)
        assert servers.eventually(source.server.ready, 30)
        assert source.sql("select to_regclass('items')::text") == [(None,)], "it was dropped there"
    with pytest.raises(Refused, match="is not at"):
        in_place.begin(site, "run-1", state.plan, datetime.now(UTC))


def take_back(source: Source, site: Site, state, check=True) -> None:
    for command in site.way_back(state.kept):
        source.place.host.run(["sh", "-c", f"{command} >/dev/null 2>&1"], check=check)


@pytest.mark.parametrize("taken_back_after", ["restore", "recover"])
def test_cleared_tasks_of_a_recovery_that_was_taken_back_touch_nothing_and_another_run_may_begin(
    source, taken_back_after
):
    target, _ = destroyed(source)
    site, now = site_of(source), datetime.now(UTC)
    state = in_place.begin(site, "run-1", source.plan(target), now)
    state = in_place.set_aside(site, state)
    with pytest.raises(Refused, match="was not fetched"):
        in_place.recover(site, state, source.engine)
    state = in_place.restore(site, state, source.engine)
    steps = ["recover"]
    if taken_back_after == "recover":
        state = in_place.recover(site, state, source.engine)
        steps.append("serve")
    take_back(source, site, state, check=False)  # before it is recovered there is no server to stop
    before = source.sql("select pg_postmaster_start_time()")
    for name in steps:
        with pytest.raises(Refused, match="is not at"):
            step(name, site, state, source)
    assert source.sql("select pg_postmaster_start_time()") == before
    assert in_place.begin(site, "run-2", state.plan, now.replace(year=2030)).id == "run-2"


def test_with_wal_g_the_first_base_backup_after_it_is_no_difference_to_one_of_the_abandoned_timeline(s3, bucket):
    """WAL-G looks at positions alone: what that one had changed would be in the difference's chain, and stay there."""
    with archived_server(walg, servers.MAJORS[0], s3, bucket) as archived:
        server, engine = archived.server, archived.engine
        bindir = PurePosixPath(server.identity.reachable(server.binaries.bindir))
        host = LocalHost(run_as=run_as(server.identity))
        dsn = Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
        site = Site(host, PurePosixPath(server.data), bindir, dsn)
        server.execute("create table items as select n as id, 'sound'::text as word from generate_series(1, 2000) n")
        engine.push(print)
        target, content = _instant(server), server.execute(CONTENT)
        server.execute("update items set word = 'damaged'")
        assert engine.push(print).parent is not None
        assert archived.archived(archived.switch())
        reader = WalReader(host, bindir, engine.restore_command(host), PurePosixPath(archived.folder / "wal"))
        found = survey(engine, reader)
        made = plan("primary", parse_target(target), found.backups, found.archive, found.possible)
        state = in_place.begin(site, "run-1", made, datetime.now(UTC))
        state = in_place.restore(site, in_place.set_aside(site, state), engine)
        state = in_place.serve(site, in_place.recover(site, state, engine))
        server.execute("create table filler as select repeat('x', 1000) from generate_series(1, 30000)")
        in_place.finish(site, state, engine)
        newest = engine.backups()[-1]
        assert (newest.timeline, newest.parent) == (2, None)
        assert server.execute(CONTENT) == content
        assert engine.push(print).parent == newest.backup_id


def _instant(server: PostgresServer) -> str:
    time.sleep(0.002)
    [(at,)] = server.execute("select clock_timestamp()")
    time.sleep(0.002)
    return at.isoformat()


def test_a_server_whose_postgresql_conf_lies_elsewhere_is_recovered_through_its_service_or_refused(source):
    """As on Debian."""
    elsewhere = source.server.identity.folder(source.folder / "etc")
    host, data = source.place.host, str(source.server.data)
    host.run(["sh", "-c", f"mv {data}/postgresql.conf {data}/sandbox.conf {elsewhere}/"])
    target, content = destroyed(source)
    with pytest.raises(Refused, match="cannot start this server as it was"):
        in_place.begin(site_of(source), "run-1", source.plan(target), datetime.now(UTC))
    assert source.server.ready()
    control = (f"{source.place.bindir}/pg_ctl", "-D", data)
    start = (*control, "start", "-l", f"{elsewhere}/log", "-o", f"-c config_file={elsewhere}/postgresql.conf")
    site = replace(site_of(source), stop=(*control, "stop"), start=start)
    state = in_place.begin(site, "run-1", source.plan(target), datetime.now(UTC))
    for name in STEPS:
        state = step(name, site, state, source)
    assert source.content() == content and source.sql("show config_file") == [(f"{elsewhere}/postgresql.conf",)]
    assert source.engine.backups()[-1].timeline == 2 and not host.exists(site.data / "postgresql.conf")


@pytest.mark.parametrize("died_after", STEPS[:-1])
def test_a_run_that_died_between_an_act_and_its_note_goes_on(source, died_after, monkeypatch):
    target, content = destroyed(source)
    site = site_of(source)
    state = in_place.begin(site, "run-1", source.plan(target), datetime.now(UTC))
    for name in STEPS:
        if name == died_after:
            with monkeypatch.context() as patch, pytest.raises(RuntimeError):
                patch.setattr(in_place, "_write", _dies)
                step(name, site, state, source)
            state = in_place.begin(site, "run-1", state.plan, datetime.now(UTC))
            assert state.phase != "done"
        state = step(name, site, state, source)
    assert source.content() == content


def _dies(*given):
    raise RuntimeError("SIGKILL")


def test_another_run_is_refused_while_one_has_not_ended_and_is_told_the_way_back(source):
    target, _ = destroyed(source)
    site, now = site_of(source), datetime.now(UTC)
    made = source.plan(target)
    state = in_place.set_aside(site, in_place.begin(site, "run-1", made, now))
    with pytest.raises(Refused, match="was begun by run-1") as refused:
        in_place.begin(site, f"run-{secrets.token_hex(2)}", made, now)
    assert f"mv -T {state.kept} {site.data}" in refused.value.remedy
    # Nothing is removed while the old files have not their dated name.
    source.place.host.run(["mv", state.kept, f"{state.kept}.elsewhere"])
    with pytest.raises(PgOpsError, match="is not at"):
        in_place.restore(site, state, source.engine)
    source.place.host.run(["mv", f"{state.kept}.elsewhere", str(site.data)])


def test_a_server_with_tablespaces_is_refused_before_anything_is_touched(source, tmp_path):
    folder = source.server.identity.folder(source.folder / "space")
    source.sql(f"create tablespace other location '{folder}'")
    target, _ = destroyed(source)
    with pytest.raises(Refused, match="has tablespaces"):
        in_place.begin(site_of(source), "run-1", source.plan(target), datetime.now(UTC))
    assert source.server.ready()
