"""Faults of storage: sizes, sequences, memory, ids."""

from __future__ import annotations

from collections.abc import Iterator

from tests.health.faults_replication import physical_slot, switch_wal
from tests.health.scenes import Scene, fault


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


@fault("xid_age")
def xid_age(scene: Scene) -> Iterator[str]:
    scene.expect_more(scene.dsn.dbname, by=100 * 500 / 2**31)
    scene.session().execute("DO $$ BEGIN FOR i IN 1..600 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    yield scene.dsn.dbname


@fault("unused_indexes")
def unused_indexes(scene: Scene) -> Iterator[str]:
    scene.facts["unused_days"] = "0"
    scene.execute("CREATE TABLE notes AS SELECT n, md5(n::text) AS t FROM generate_series(1, 250000) n")
    scene.execute('CREATE INDEX "nobody\'s" ON notes (t)')
    yield 'public."nobody\'s"'


@fault("freeze_overdue")
def freeze_overdue(scene: Scene) -> Iterator[str]:
    scene.execute('CREATE TABLE "old\'s" () WITH (autovacuum_freeze_max_age = 100000)')
    burn = scene.session()
    burn.execute("DO $$ BEGIN FOR i IN 1..120000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    scene.execute("CREATE TABLE flushed ()")  # so that the standby gets all of it
    yield 'public."old\'s"'


@fault("wraparound_days_left", at=10**18)
def wraparound_days_left(scene: Scene) -> Iterator[str]:
    scene.facts["wraparound_age"] = "0"
    for days_ago in (3, 2, 1):
        scene.execute(f"CREATE TABLE t{days_ago} ()")
        scene.look(days_ago)
    scene.execute("CREATE TABLE t0 ()")
    yield scene.dsn.dbname


@fault("disk_used")
def disk_used(scene: Scene) -> Iterator[str]:
    scene.facts["disk_bytes"] = "20000000"
    yield ""


@fault("disk_days_left")
def disk_days_left(scene: Scene) -> Iterator[str]:
    for days_ago in (3, 2, 1):
        scene.look(days_ago)
        scene.execute(f"CREATE TABLE t{days_ago} AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    scene.facts["disk_bytes"] = str(int(scene.history[0].samples[0].amount) + 50_000_000)
    yield ""


@fault("wal_directory")
def wal_directory(scene: Scene) -> Iterator[str]:
    with physical_slot(scene, "keeper"):
        scene.expect_more("", by=4)  # percent of a max_wal_size of 1 GiB: three files
        switch_wal(scene, 10)
        yield ""


@fault("database_size")
def database_size(scene: Scene) -> Iterator[str]:
    scene.expect_more("", by=5_000_000)
    scene.execute("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
    scene.execute("CHECKPOINT")
    yield ""


@fault("biggest_tables", at=10**6)
def biggest_tables(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    yield "public.big"


@fault("table_bloat", at=80)
def table_bloat(scene: Scene) -> Iterator[str]:
    scene.facts["bloat_bytes"] = "100000"
    scene.execute("CREATE TABLE \"hollow's\" AS SELECT n, repeat('x', 200) AS t FROM generate_series(1, 20000) n")
    scene.execute('DELETE FROM "hollow\'s" WHERE n % 20 <> 0')
    scene.execute('VACUUM ANALYZE "hollow\'s"')
    yield 'public."hollow\'s"'


@fault("index_bloat", at=80)
def index_bloat(scene: Scene) -> Iterator[str]:
    scene.facts["bloat_bytes"] = "100000"
    scene.execute("CREATE TABLE t AS SELECT n, md5(n::text) AS t FROM generate_series(1, 50000) n")
    scene.execute("CREATE INDEX hollow ON t (t, lower(t))")
    scene.execute("DELETE FROM t WHERE n % 20 <> 0")
    scene.execute("VACUUM ANALYZE t")
    yield "public.hollow"


@fault("catalog_dead_rows")
def catalog_dead_rows(scene: Scene) -> Iterator[str]:
    columns = ", ".join(f"c{number} int" for number in range(1500))
    for _ in range(16):
        scene.execute(f"CREATE TABLE wide ({columns}); DROP TABLE wide")
    yield "pg_attribute"


def keys_up_to(scene: Scene, highest: int) -> str:
    """A table whose integer key no sequence fills has come that far, and was analyzed; the key's name."""
    scene.execute('CREATE TABLE IF NOT EXISTS "far\'s" (id int PRIMARY KEY)')
    scene.execute(f'INSERT INTO "far\'s" SELECT {highest} - n FROM generate_series(0, 999) n')
    scene.execute('ANALYZE "far\'s"')
    return 'public."far\'s".id'


@fault("int4_keys_used")
def int4_keys_used(scene: Scene) -> Iterator[str]:
    yield keys_up_to(scene, 2_000_001_000)


@fault("int4_keys_days_left")
def int4_keys_days_left(scene: Scene) -> Iterator[str]:
    for days_ago, highest in ((3, 1_500_000_000), (2, 1_600_000_000), (1, 1_700_000_000)):
        keys_up_to(scene, highest)
        scene.look(days_ago)
    yield keys_up_to(scene, 1_800_000_000)


@fault("narrow_foreign_keys")
def narrow_foreign_keys(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE parent (id bigint PRIMARY KEY)")
    scene.execute("CREATE TABLE child (parent int REFERENCES parent)")
    yield "public.child.parent"
