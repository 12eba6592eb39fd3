"""Recovery beside the source: exactly the state of the target, and nothing written to the source's archive."""

from __future__ import annotations

import pytest

from pgops.physical import recover, state
from tests.physical.recovery.sources import CONTENT, Source, backed_up


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
    recovery = recover.let_in(source.place, recovery, ["helper"])
    psycopg2.connect(user="helper", password="of-the-helper", **reach).close()
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg2.connect(user="postgres", password=source.server.password, **reach)
    assert recovery.phase == "open"
    state.remove(source.place, "closed")
