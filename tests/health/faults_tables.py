"""Faults of tables: vacuum, indexes, constraints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from psycopg2.errors import LockNotAvailable, UniqueViolation

from tests.health.faults_replication import setting
from tests.health.scenes import Scene, fault
from tests.servers import eventually


@fault("dead_rows")
def dead_rows(scene: Scene) -> Iterator[str]:
    scene.execute('CREATE TABLE "dead\'s" AS SELECT n FROM generate_series(1, 20000) n')
    scene.execute('VACUUM ANALYZE "dead\'s"')
    scene.execute('DELETE FROM "dead\'s"')
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_user_tables WHERE n_dead_tup > 15000"))
    yield 'public."dead\'s"'


@fault("never_analyzed")
def never_analyzed(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE unknown AS SELECT n FROM generate_series(1, 20000) n")
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_user_tables WHERE n_live_tup > 15000"))
    yield "public.unknown"


@fault("autovacuum_off_tables")
def autovacuum_off_tables(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE loaded (t text) WITH (toast.autovacuum_enabled = off)")
    yield "public.loaded (TOAST)"


@fault("autovacuum_saturated", at=0)
def autovacuum_saturated(scene: Scene) -> Iterator[str]:
    slow = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    scene.execute(f"CREATE TABLE slow WITH ({slow}) AS SELECT repeat('x', 500) FROM generate_series(1, 20000)")
    scene.execute("DELETE FROM slow")
    with setting(scene, "autovacuum_naptime", "1"):
        working = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%slow%'"
        assert eventually(lambda: scene.execute(working), 60)
        yield ""


@fault("invalid_indexes")
def invalid_indexes(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE twice AS SELECT 1 AS n FROM generate_series(1, 2)")
    with suppress(UniqueViolation):
        scene.execute('CREATE UNIQUE INDEX CONCURRENTLY "broken\'s" ON twice (n)')
    yield 'public."broken\'s"'


@fault("duplicate_indexes")
def duplicate_indexes(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE t (n int PRIMARY KEY, name text)")
    scene.execute("CREATE INDEX first ON t (lower(name)) WHERE n > 1")
    scene.execute('CREATE INDEX "<second>" ON   t (  lower( name ))   WHERE  n > 1')  # the same at other places
    yield 'public."<second>"'


@fault("redundant_indexes", at=0)
def redundant_indexes(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE t (a int, b int, c int)")
    scene.execute("CREATE INDEX short ON t (a, b DESC); CREATE INDEX long ON t (a, b DESC, c)")
    yield "public.short"


@fault("missing_fk_index")
def missing_fk_index(scene: Scene) -> Iterator[str]:
    scene.execute(
        "CREATE TABLE users AS SELECT n AS id FROM generate_series(1, 3) n; ALTER TABLE users ADD PRIMARY KEY (id)"
    )
    scene.execute("CREATE TABLE posts (author int REFERENCES users, t text)")
    scene.execute("INSERT INTO posts SELECT 1, repeat('x', 1000) FROM generate_series(1, 12000)")
    scene.execute("VACUUM posts")
    scene.execute("DELETE FROM users WHERE id = 2")
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_user_tables WHERE n_tup_del = 1"))
    yield "public.posts.posts_author_fkey"


@fault("constraints_not_valid")
def constraints_not_valid(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE t (n int); ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0) NOT VALID")
    yield "public.t.positive"


@fault("triggers_disabled")
def triggers_disabled(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (parent int REFERENCES parent)")
    scene.execute("ALTER TABLE child DISABLE TRIGGER ALL")
    yield "public.child.child_parent_fkey"


@fault("no_primary_key")
def no_primary_key(scene: Scene) -> Iterator[str]:
    scene.execute('CREATE TABLE "anybody\'s" (n int UNIQUE)')
    yield 'public."anybody\'s"'


@fault("replica_identity_missing")
def replica_identity_missing(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE t (n int); CREATE PUBLICATION everything FOR TABLE t")
    yield "public.t"


@fault("foreign_key_types")
def foreign_key_types(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE parent (id numeric PRIMARY KEY); CREATE TABLE child (parent bigint REFERENCES parent)")
    yield "public.child.parent"


@fault("int4_primary_keys", at=1500)
def int4_primary_keys(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE many (id int PRIMARY KEY)")
    scene.execute("INSERT INTO many SELECT generate_series(1, 2000)")
    scene.execute("ANALYZE many")
    yield "public.many.id"


@fault("duplicate_foreign_keys")
def duplicate_foreign_keys(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (parent int REFERENCES parent)")
    scene.execute("ALTER TABLE child ADD CONSTRAINT again FOREIGN KEY (parent) REFERENCES parent")
    yield "public.child.again"


@fault("unlogged_tables")
def unlogged_tables(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE UNLOGGED TABLE gone (n int)")
    yield "public.gone"


@fault("collation_versions")
def collation_versions(scene: Scene) -> Iterator[str]:
    provider, locale = ("builtin", "C.UTF-8") if scene.server.binaries.major >= 17 else ("icu", "de")
    scene.execute(f"CREATE COLLATION words (provider = {provider}, locale = '{locale}')")
    scene.execute("CREATE TABLE t (name text COLLATE words)")
    scene.execute("UPDATE pg_collation SET collversion = 'old' WHERE collname = 'words'")  # as after an upgrade
    yield "public.words"


@fault("policies_without_rls")
def policies_without_rls(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE secrets (owner text); CREATE POLICY mine ON secrets USING (owner = current_user)")
    yield "public.secrets"


@fault("next_partitions")
def next_partitions(scene: Scene) -> Iterator[str]:
    scene.facts["today"] = "2026-11-23"
    scene.execute("CREATE TABLE events (at date) PARTITION BY RANGE (at)")
    scene.execute("CREATE TABLE november PARTITION OF events FOR VALUES FROM ('2026-11-01') TO ('2026-12-01')")
    yield "public.events"


@fault("partition_gaps")
def partition_gaps(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE numbers (n bigint) PARTITION BY RANGE (n)")
    scene.execute("CREATE TABLE low PARTITION OF numbers FOR VALUES FROM (MINVALUE) TO (-5)")
    scene.execute("CREATE TABLE high PARTITION OF numbers FOR VALUES FROM (10) TO (MAXVALUE)")
    yield "public.numbers"


@fault("partition_pending_detach")
def partition_pending_detach(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE events (n int) PARTITION BY RANGE (n)")
    scene.execute("CREATE TABLE low PARTITION OF events FOR VALUES FROM (0) TO (10)")
    reader, detacher = scene.session(), scene.session()
    reader.execute("BEGIN; SELECT FROM events")
    detacher.execute("SET lock_timeout = '200ms'")
    with suppress(LockNotAvailable):
        detacher.execute("ALTER TABLE events DETACH PARTITION low CONCURRENTLY")
    reader.execute("ROLLBACK")
    yield "public.low"


@fault("rows_in_default")
def rows_in_default(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE events (n int) PARTITION BY RANGE (n)")
    scene.execute("CREATE TABLE rest PARTITION OF events DEFAULT; INSERT INTO events VALUES (1)")
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_user_tables WHERE n_live_tup = 1"))
    yield "public.rest"
