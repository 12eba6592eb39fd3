"""Faults of storage: sizes, sequences, memory, ids."""

from __future__ import annotations

from collections.abc import Iterator

from tests.health.scenes import Scene, fault
from tests.servers import eventually


@fault("cache_hit_ratio")
def cache_hit_ratio(scene: Scene) -> Iterator[str]:
    # One row a page: more pages than HEALTHY's shared_buffers can keep.
    scene.execute(
        "CREATE TABLE wide WITH (fillfactor = 10) AS SELECT n, repeat('x', 700) AS t FROM generate_series(1, 4000) n"
    )
    scene.look()
    scene.execute("SELECT (SELECT count(*) FROM wide WHERE n <> i) FROM generate_series(1, 26) i")
    yield ""


@fault("sequences_used")
def sequences_used(scene: Scene) -> Iterator[str]:
    # A bigint sequence that fills an integer column: by its own limit it has hardly begun.
    scene.execute("""CREATE TABLE "the <b>'s" (id integer); CREATE SEQUENCE "the ""<b>" OWNED BY "the <b>'s".id""")
    scene.execute("""SELECT setval('"the ""<b>"', 2000000000)""")
    yield 'public."the ""<b>"'


@fault("sequence_days_left")
def sequence_days_left(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE busy (id serial)")
    for days_ago, value in ((3, 1_500_000_000), (2, 1_600_000_000), (1, 1_700_000_000)):
        scene.execute(f"SELECT setval('busy_id_seq', {value})")
        scene.look(days_ago)
    scene.execute("SELECT setval('busy_id_seq', 1800000000)")
    yield "public.busy_id_seq"


@fault("xid_age", at=0)
def xid_age(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE one ()")
    scene.execute("CREATE TABLE two ()")
    yield scene.dsn.dbname


@fault("unused_indexes")
def unused_indexes(scene: Scene) -> Iterator[str]:
    scene.facts["unused_days"] = "0"
    scene.execute("CREATE TABLE notes AS SELECT n, md5(n::text) AS t FROM generate_series(1, 250000) n")
    scene.execute('CREATE INDEX "nobody\'s" ON notes (t)')
    yield 'public."nobody\'s"'


@fault("standby_lag", at=0)
def standby_lag(scene: Scene) -> Iterator[str]:
    scene.standby.wait_until_caught_up()
    scene.standby.execute("SELECT pg_wal_replay_pause()")
    scene.execute("CREATE TABLE later ()")
    behind = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
    assert eventually(lambda: scene.standby.execute(behind)[0][0])
    yield ""
    scene.standby.execute("SELECT pg_wal_replay_resume()")
