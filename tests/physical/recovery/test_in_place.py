"""Recovery over the source itself: what was there stays, and everything that hung on it is there again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.physical import in_place
from pgops.physical.in_place import Site
from pgops.postgres import Dsn
from tests import servers
from tests.physical.recovery.sources import Source, archiving_source, backed_up


@pytest.fixture(params=servers.MAJORS)
def each_fresh_source(request):
    with archiving_source(request.param) as source:
        yield source


@pytest.fixture
def source():
    with archiving_source(servers.MAJORS[0]) as source:
        yield source


def site_of(source: Source) -> Site:
    from pathlib import PurePosixPath

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
    # And the way back leads to the state before.
    for command in in_place.way_back(site, state.kept):
        source.place.host.run(["sh", "-c", f"{command} >/dev/null 2>&1"])
    assert servers.eventually(source.server.ready, 30)
    assert source.sql("select to_regclass('items')::text") == [(None,)], "it was dropped there"


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
    plan = source.plan(target)
    state = in_place.begin(site, "run-1", plan, now)
    with pytest.raises(Refused, match="was begun by run-1") as refused:
        in_place.begin(site, f"run-{secrets.token_hex(2)}", plan, now)
    assert f"mv {state.kept} {site.data}" in refused.value.remedy
    # Nothing is removed while the old files have not their dated name.
    state = in_place.set_aside(site, state)
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
