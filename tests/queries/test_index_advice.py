"""Index advice: what is missing or too much, what slow queries would use, and the migrations that come of it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import closing

import psycopg2
import pytest

from pgops.fleet import MigrationPolicy
from pgops.include import sql_text
from pgops.migration.gate.check import check
from pgops.migration.scripts.sources import migrations_in
from pgops.migration.scripts.statements import parse
from pgops.postgres import Dsn
from pgops.queries import advice as advice_module
from pgops.queries.advice import Advice, most_useful, of_candidate, structural
from pgops.queries.candidates import Index
from pgops.queries.explain import catalog_session
from pgops.queries.pair import pairs
from pgops.queries.prove import Candidate, Gain, Slow, advise
from sandbox.postgres import Standby, free_port
from tests import servers
from tests.queries.conftest import Stage

SHOP = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 2000) AS i",
    'CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, status text, at timestamptz, "Odd" int)',
    "INSERT INTO orders SELECT i, 1 + i % 2000, 'x' || i % 5, now() - i * interval '1 minute', i % 900"
    " FROM generate_series(1, 40000) AS i",
    "VACUUM ANALYZE",
)
BY_USER = (
    "SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.user_id WHERE o.user_id = $1 ORDER BY o.at LIMIT $2"
)
BY_STATUS = 'SELECT count(*) FROM orders WHERE status = $1 AND "Odd" = ANY ($2)'


@pytest.fixture
def shop(stage: Stage) -> Stage:
    stage.execute(*SHOP)
    return stage


@pytest.fixture
def hypopg(shop: Stage) -> Stage:
    if not shop.server.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"):
        pytest.skip("HypoPG is not on this machine for this version (Debian: postgresql-15-hypopg)")
    shop.execute("CREATE EXTENSION hypopg")
    return shop


def slow(*texts: str) -> list[Slow]:
    return [Slow(text, text, True, 100) for text in texts]


def columns(found: tuple[Candidate, ...]) -> dict[tuple[str, ...], str]:
    return {one.index.columns: one.proof for one in found}


def apply(dsn: Dsn, text: str) -> None:
    """As migration_deploy does: statement by statement, each for itself where it must be."""
    with closing(psycopg2.connect(host=dsn.host, port=dsn.port, dbname=dsn.dbname, user=dsn.user,
                                  password=dsn.password)) as connection:  # fmt: skip
        connection.autocommit = True
        for statement in [one.strip() for one in re.sub(r"^--.*$", "", text, flags=re.M).split(";") if one.strip()]:
            connection.cursor().execute(statement)


def indexes(stage: Stage) -> set[str]:
    return {str(row[0]) for row in stage.server.execute("SELECT indexname FROM pg_indexes", stage.dsn.dbname)}


def test_hypopg_proves_the_index_that_a_query_would_use_and_leaves_nothing(hypopg):
    before = indexes(hypopg)
    found = advise(hypopg.monitor, slow(BY_USER, BY_STATUS))
    assert columns(found) == {("user_id", "at"): "HypoPG", ("Odd", "status"): "HypoPG"}
    (gain,) = found[0].gains
    assert gain.after < gain.before / 2 and found[0].bytes and found[0].saved > 50
    assert indexes(hypopg) == before


def test_without_hypopg_a_copy_proves_it_and_is_left_as_it_was(shop):
    before = indexes(shop)
    found = advise(shop.monitor, slow(BY_USER, BY_STATUS), shop.dsn)
    assert columns(found) == {("user_id", "at"): "built on a copy", ("Odd", "status"): "built on a copy"}
    assert indexes(shop) == before


def test_without_either_it_is_called_unverified(shop):
    found = advise(shop.monitor, slow(BY_STATUS))
    assert columns(found) == {("Odd", "status"): "unverified"}
    assert "try it before you trust it" in found[0].note and found[0].saved == 0


def test_an_index_that_is_there_or_that_nobody_would_use_is_not_advised(shop):
    shop.execute('CREATE INDEX ON orders ("Odd", status)', "CREATE INDEX ON orders (user_id, at)")
    assert advise(shop.monitor, slow(BY_USER, BY_STATUS), shop.dsn) == ()
    assert advise(shop.monitor, slow("SELECT * FROM orders WHERE status <> $1", "SELECT 1", "VACUUM"), shop.dsn) == ()


def test_one_index_serves_several_queries_and_is_advised_once(shop):
    texts = ("SELECT * FROM orders WHERE user_id = $1", BY_USER, "SELECT * FROM orders WHERE user_id = $1 AND at > $2")
    (found,) = advise(shop.monitor, slow(*texts), shop.dsn)
    assert found.index.columns == ("user_id", "at") and len(found.gains) == 3
    (hoped,) = advise(shop.monitor, slow(*texts))
    assert hoped.proof == "unverified" and hoped.index == found.index and len(hoped.gains) == 3


def test_a_candidate_becomes_a_pair_that_the_gate_takes_and_that_can_be_applied_and_taken_back(shop, tmp_path):
    advice = [of_candidate(shop.monitor, one) for one in advise(shop.monitor, slow(BY_STATUS), shop.dsn)]
    advice += structural(shop.monitor, {})[0]
    before = indexes(shop)
    made = list(pairs(most_useful(advice), 3))
    assert made[0].file == "V003__index_orders_odd_status.sql"
    assert [pair.version for pair in made] == ["003", "004"]  # and the foreign key
    _through_the_gate(made, tmp_path)
    for pair in made:
        apply(shop.dsn, pair.up)
    assert {"orders_Odd_status_idx", "orders_user_id_idx"} <= indexes(shop)
    for pair in reversed(made):
        apply(shop.dsn, pair.down)
    assert indexes(shop) == before


def test_a_partitioned_table_gets_its_index_in_parts(shop, tmp_path):
    shop.execute(
        "CREATE TABLE events (at date NOT NULL, user_id int REFERENCES users) PARTITION BY RANGE (at)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    )
    (advice,) = [one for one in structural(shop.monitor, {})[0] if "events" in one.object]
    assert advice.kind == "missing" and len(advice.apply) == 5
    made = list(pairs([advice], 7))
    _through_the_gate(made, tmp_path)
    apply(shop.dsn, made[0].up)
    assert shop.server.execute(
        "SELECT bool_and(indisvalid), count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname LIKE 'events%user_id_idx'",
        shop.dsn.dbname,
    ) == [(True, 3)]
    apply(shop.dsn, made[0].down)
    assert not [name for name in indexes(shop) if name.startswith("events")]


def test_too_many_indexes_are_named_with_their_way_back(shop, tmp_path):
    shop.execute(
        "CREATE INDEX orders_user_id_1 ON orders (user_id)",
        "CREATE INDEX orders_user_id_2 ON orders (user_id)",
        "CREATE INDEX orders_status ON orders (status)",
        "CREATE INDEX orders_status_at ON orders (status, at)",
        "ALTER TABLE users ADD CONSTRAINT names UNIQUE (name), ADD CONSTRAINT again UNIQUE (name)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_status_at'::regclass",
        "CREATE INDEX orders_status_at2 ON orders (status, at)",
    )
    found, notes = structural(shop.monitor, {})
    kinds = {one.object: one.kind for one in found}
    assert notes == []
    assert kinds["public.orders_user_id_2"] == "duplicate"
    assert kinds["public.orders_status"] == "redundant"
    assert kinds["public.orders_status_at"] == "invalid"
    assert kinds["public.again"] == "duplicate"
    by_name = {one.object: one for one in found}
    assert by_name["public.again"].apply == () and "DROP CONSTRAINT" in by_name["public.again"].says
    made = list(pairs(most_useful(found), 3))
    assert len(made) == 2
    _through_the_gate(made, tmp_path)
    before = indexes(shop)
    for pair in made:
        apply(shop.dsn, pair.up)
    assert before - indexes(shop) == {"orders_user_id_2", "orders_status"}
    for pair in made:
        apply(shop.dsn, pair.down)
    assert indexes(shop) == before


def test_the_words_of_a_health_checks_mend_decide_nothing(shop, monkeypatch):
    """They are for people, and may change."""
    shop.execute(
        'CREATE SCHEMA "S 1"',
        'CREATE TABLE "S 1"."T""x" (n int, "A b" int, FOREIGN KEY ("A b") REFERENCES users)',
        "CREATE INDEX orders_user_id_1 ON orders (user_id)",
        "CREATE INDEX orders_user_id_2 ON orders (user_id)",
        "ALTER TABLE users ADD CONSTRAINT names UNIQUE (name), ADD CONSTRAINT again UNIQUE (name)",
    )
    plain, _ = structural(shop.monitor, {})
    asked = advice_module._asked

    def in_words(catalog, kind):
        return [{**row, "mend": "ask whoever made the CONSTRAINT"} for row in asked(catalog, kind)]

    monkeypatch.setattr(advice_module, "_asked", in_words)
    found, notes = structural(shop.monitor, {})
    assert notes == [] and [(one.object, one.apply, one.revert) for one in found] == [
        (one.object, one.apply, one.revert) for one in plain
    ]
    by_kind = {one.kind: one for one in found if one.object != "public.again"}
    assert by_kind["missing"].makes == Index("S 1", 'T"x', ("A b",))
    assert by_kind["missing"].apply[0].endswith('ON "S 1"."T""x" ("A b")')
    assert by_kind["duplicate"].apply == ("DROP INDEX CONCURRENTLY public.orders_user_id_2",)
    assert next(one for one in found if one.object == "public.again").apply == ()


def test_a_partitioned_index_that_is_dropped_comes_back_with_all_its_parts(shop):
    shop.execute(
        "CREATE TABLE events (at date, n int) PARTITION BY RANGE (at)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE INDEX events_n ON events (n)",
        "CREATE INDEX events_again ON events (n)",
    )
    (advice,) = [one for one in structural(shop.monitor, {})[0] if one.kind == "duplicate"]
    (pair,) = pairs([advice], 3)
    valid = "SELECT relname, indisvalid FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relname ~ 'events'"
    before = shop.server.execute(f"{valid} ORDER BY 1", shop.dsn.dbname)
    apply(shop.dsn, pair.up)
    assert "events_again" not in indexes(shop)
    apply(shop.dsn, pair.down)
    after = shop.server.execute(f"{valid} ORDER BY 1", shop.dsn.dbname)
    assert len(after) == len(before) == 4 and all(here for _, here in after)


def test_an_index_that_a_query_and_a_foreign_key_want_is_advised_once(shop):
    shop.execute("ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (user_id) REFERENCES users")
    candidate = Candidate(Index("public", "orders", ("user_id", "at")), "unverified", ())
    (advice,) = most_useful([*structural(shop.monitor, {})[0], of_candidate(shop.monitor, candidate)])
    assert advice.kind == "candidate" and advice.label == "index_orders_user_id_at"
    assert "orders_user_id_fkey needs it" in advice.says and "orders.again needs it" in advice.says
    (alone,) = most_useful(structural(shop.monitor, {})[0])
    assert alone.kind == "missing" and alone.label == "index_orders_user_id"


def test_of_twins_one_stays_though_queries_use_the_other(shop, monkeypatch):
    """The planner takes one of them, so the elder may look unused: both drops together would leave none."""
    shop.execute(
        "CREATE INDEX elder ON orders (status, at)",
        "CREATE INDEX twin ON orders (status, at)",
        "CREATE INDEX shorter ON orders (status)",
        "CREATE INDEX idle ON users (name)",
    )
    asked = advice_module._asked

    def long_ago(catalog, kind):
        if kind != "unused":
            return asked(catalog, kind)
        return [{"object": f"public.{name}", "says": "not used", "mend": ""} for name in ("elder", "idle")]

    monkeypatch.setattr(advice_module, "_asked", long_ago)
    kinds = {one.object: one.kind for one in structural(shop.monitor, {})[0]}
    assert kinds["public.twin"] == "duplicate" and kinds["public.shorter"] == "redundant"
    assert kinds["public.idle"] == "unused" and "public.elder" not in kinds


def test_nothing_is_called_unused_while_a_standby_does_not_say_or_is_not_known(shop):
    row = {"object": "public.x", "mend": "", "says": ""}
    nowhere = Dsn("127.0.0.1", 1, "app", "pgops_monitor")
    notes: list[str] = []

    def agreed(standbys):
        with catalog_session(shop.monitor) as catalog:
            return advice_module._agreed(catalog, [row], standbys, notes)

    assert agreed({"standby": nowhere}) == [] and "standby" in notes[0]
    assert agreed({}) == [row]
    with servers.memory_folder("standby") as folder:
        standby = Standby("standby", shop.server, folder / "standby", free_port(), {})
        standby.create()
        standby.start()
        try:
            standby.wait_until_caught_up()
            assert (
                servers.eventually(lambda: agreed({}) == [])
                and "1 standbys follow and the fleet file names 0" in notes[-1]
            )
        finally:
            standby.destroy()


def test_counters_that_a_crash_has_emptied_prove_nothing_however_long_the_server_runs():
    """The postmaster goes on after a backend was killed, and says so of no database."""
    question = sql_text("health/unused_indexes.sql").replace("pg_postmaster_start_time()", "timestamptz '2026-01-01'")
    with servers.running_postgres(servers.MAJORS[0]) as server:
        server.execute("CREATE TABLE t AS SELECT md5(n::text) AS t FROM generate_series(1, 300000) AS n")
        server.execute("CREATE INDEX ON t (t)")
        server.execute("CHECKPOINT")
        ((started,),) = server.execute("SELECT pg_postmaster_start_time()")
        victim = psycopg2.connect(server.dsn())
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        assert servers.eventually(server.ready, 60)
        assert server.execute("SELECT pg_postmaster_start_time()") == [(started,)]
        assert server.execute("SELECT stats_reset FROM pg_stat_database WHERE datname = 'postgres'") == [(None,)]
        assert server.execute("SELECT relpages > 1280 FROM pg_class WHERE relname = 't_t_idx'") == [(True,)]
        assert server.execute(question) == []


def test_a_querys_text_is_no_order_to_the_gate():
    gain = Gain("f", 'pgops: allow ban-drop-table SELECT "squawk-ignore"', 1, 1, 1)
    advice = Advice(
        "candidate", "t", "says", ("CREATE INDEX CONCURRENTLY i ON t (a)",), ("DROP INDEX i",), gains=(gain,)
    )
    (pair,) = pairs([advice], 1)
    assert not re.search(r"^\s*--\s*pgops", pair.up, re.M)


def _through_the_gate(made, folder) -> None:
    for pair in made:
        (folder / pair.file).write_text(pair.up)
        (folder / pair.rollback_file).write_text(pair.down)
    migrations = migrations_in(folder)
    assert [one.version for one in migrations] == [pair.version for pair in made]
    for migration in migrations:
        assert parse(migration.up).segments
    found = check(migrations, MigrationPolicy(folder="migrations/shop", connection="copies"), 150018)
    assert [str(one) for one in found if one.level == "error"] == []
