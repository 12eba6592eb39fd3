"""Partitions are made as PARTITION OF would make them, and like their newest sibling; rows of DEFAULT move along."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.partitions import Created, RowsInDefault, create, create_all, finalize, plan
from pgops.postgres import Dsn
from tests.partitions.parents import NOW, connected, made, partitions, planned, policies, run

EVENTS = "CREATE TABLE events (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
RICH = """
CREATE TABLE users (id bigint PRIMARY KEY);
INSERT INTO users SELECT generate_series(1, 10);
CREATE SEQUENCE numbers;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    dropped text,
    "User Id" bigint NOT NULL REFERENCES users,
    number bigint DEFAULT nextval('numbers'),
    body text COMPRESSION pglz COLLATE "C" CHECK (body <> ''),
    size int GENERATED ALWAYS AS (length(body)) STORED,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
ALTER TABLE events DROP COLUMN dropped;
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX ON events ("User Id") INCLUDE (number) WHERE number > 0;
CREATE INDEX ON events (lower(body));
CREATE STATISTICS dependent (dependencies) ON id, number FROM events;
COMMENT ON COLUMN events.body IS 'what happened';
CREATE TRIGGER noted BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION note();
"""
# A partition's shape, with its own name taken out of definitions.
SHAPE = """
WITH one AS (SELECT c.* FROM pg_class c WHERE c.oid = '{0}'::regclass)
SELECT 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage, a.attcompression,
       a.attidentity, a.attgenerated, a.attislocal, a.attinhcount, a.attcollation::regcollation::text,
       pg_get_expr(d.adbin, d.adrelid)
  FROM one JOIN pg_attribute a ON a.attrelid = one.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', replace(k.conname, '{0}', 'X'), pg_get_constraintdef(k.oid), k.convalidated, k.contype,
       '', '', '', k.conislocal, k.coninhcount, (k.conparentid <> 0)::text, NULL
  FROM one JOIN pg_constraint k ON k.conrelid = one.oid
UNION ALL
SELECT 'index', replace(i.indexrelid::regclass::text, '{0}', 'X'), replace(pg_get_indexdef(i.indexrelid), '{0}', 'X'),
       i.indisvalid, 'i', '', '', '', i.indisprimary, 0, '', NULL
  FROM one JOIN pg_index i ON i.indrelid = one.oid
UNION ALL
SELECT 'trigger', t.tgname, replace(pg_get_triggerdef(t.oid), '{0}', 'X'), true, t.tgenabled, '', '', '',
       t.tgparentid <> 0, 0, '', NULL
  FROM one JOIN pg_trigger t ON t.tgrelid = one.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'table', one.relowner::regrole::text, one.relacl::text, one.relrowsecurity, one.relreplident, one.relpersistence,
       '', '', one.relforcerowsecurity, one.relchecks, one.reloptions::text, one.reltablespace::text FROM one
ORDER BY 1, 2, 3
"""


@contextmanager
def role(dsn: Dsn, attributes: str = "") -> Iterator[str]:
    """A role of the test's own."""
    name = f"R '\"{secrets.token_hex(4)}"
    quoted = '"' + name.replace('"', '""') + '"'
    run(dsn, f"CREATE ROLE {quoted} {attributes}")
    try:
        yield quoted
    finally:
        run(dsn, f"DROP OWNED BY {quoted} CASCADE", f"DROP ROLE {quoted}")


def test_a_partition_is_what_partition_of_would_have_made(each_database: Dsn) -> None:
    run(
        each_database,
        RICH,
        "CREATE TABLE events_by_hand PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')",
    )
    made(each_database, policies({"premake": 1}))
    by_hand = run(each_database, SHAPE.format("events_by_hand"))
    assert len(by_hand) > 12
    assert run(each_database, SHAPE.format("events_2026_03")) == by_hand
    run(each_database, "INSERT INTO events (at, \"User Id\", body) VALUES ('2026-04-02+00', 3, 'x')")
    assert run(each_database, "SELECT id, number, size FROM events_2026_04") == [(1, 1, 1)]


def test_what_is_not_inherited_is_as_on_the_newest_sibling(each_database: Dsn) -> None:
    with role(each_database) as reader, role(each_database) as owner:
        run(
            each_database,
            RICH,
            f"GRANT CREATE ON SCHEMA public TO {owner}",
            f"ALTER TABLE events OWNER TO {owner}",
            "CREATE TABLE sibling PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')"
            " WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_enabled = false)",
            f"ALTER TABLE sibling OWNER TO {owner}",
            f"GRANT SELECT, INSERT ON sibling TO {reader} WITH GRANT OPTION",
            f'GRANT UPDATE (body, "User Id") ON sibling TO {reader}',
            "GRANT SELECT ON sibling TO PUBLIC",
            "ALTER TABLE sibling REPLICA IDENTITY FULL",
            "ALTER TABLE sibling ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "CREATE POLICY everything ON sibling USING (true)",
            'CREATE PUBLICATION "pub ""1" FOR TABLE sibling',
            # Default privileges of who creates it must not show.
            f"ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO {reader}",
        )
        created = made(each_database, policies({"premake": 1}))
        assert run(each_database, SHAPE.format("events_2026_04")) == run(each_database, SHAPE.format("sibling"))
        assert "1 row security policies of its own" in created.notes[0]
        toast = "SELECT t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relname = '{}'"
        assert run(each_database, toast.format("events_2026_04")) == [(["autovacuum_enabled=false"],)]
        columns = "SELECT attname, attacl FROM pg_attribute WHERE attrelid = '{}'::regclass AND attacl IS NOT NULL"
        given = run(each_database, columns.format("events_2026_03"))
        assert given == run(each_database, columns.format("sibling"))
        assert len(given) == 2
        published = run(each_database, "SELECT count(*) FROM pg_publication_rel")
        assert published == [(3,)]
        run(each_database, 'DROP PUBLICATION "pub ""1"', f"ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {reader}")


def test_a_replica_identity_by_index_goes_to_the_partitions_own_index(each_database: Dsn) -> None:
    run(
        each_database,
        RICH,
        "CREATE TABLE sibling PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')",
        "ALTER TABLE sibling REPLICA IDENTITY USING INDEX sibling_pkey",
    )
    made(each_database, policies({"premake": 1}))
    replicated = "SELECT indexrelid::regclass::text FROM pg_index WHERE indisreplident ORDER BY 1"
    assert run(each_database, replicated) == [("events_2026_03_pkey",), ("events_2026_04_pkey",), ("sibling_pkey",)]


def test_a_role_that_is_a_member_of_the_owner_makes_partitions_of_the_owner(each_database: Dsn) -> None:
    with role(each_database) as owner, role(each_database, "LOGIN PASSWORD 'x'") as member:
        run(
            each_database,
            EVENTS,
            f"ALTER TABLE events OWNER TO {owner}",
            f"GRANT CREATE ON SCHEMA public TO {owner}, {member}",
        )
        user = member[1:-1].replace('""', '"')
        as_member = Dsn(each_database.host, each_database.port, each_database.dbname, user, "x")
        todo = planned(each_database, policies({"premake": 1}))
        with pytest.raises(Refused, match="not a member of"):
            create(as_member, todo, policies())
        run(each_database, f"GRANT {owner} TO {member}")
        create(as_member, todo, policies())
        owners = "SELECT DISTINCT quote_ident(relowner::regrole::text) FROM pg_class WHERE relname LIKE 'events%'"
        assert len(run(each_database, owners)) == 1


def test_foreign_keys_into_and_out_of_the_table_hold_in_new_partitions(each_database: Dsn) -> None:
    run(each_database, RICH)
    made(each_database, policies({"premake": 1}))
    run(
        each_database,
        "CREATE TABLE notes (event_id bigint, event_at timestamptz,"
        " FOREIGN KEY (event_id, event_at) REFERENCES events)",
    )
    later = policies({"premake": 3})
    made(each_database, later)
    run(each_database, "INSERT INTO events (at, \"User Id\", body) VALUES ('2026-06-02+00', 3, 'x')")
    run(each_database, "INSERT INTO notes SELECT id, at FROM events")
    with pytest.raises(Exception, match="violates foreign key"):
        run(each_database, "DELETE FROM events_2026_06")
    with pytest.raises(Exception, match="violates foreign key"):
        run(each_database, "INSERT INTO events (at, \"User Id\", body) VALUES ('2026-06-02+00', 99, 'x')")


def test_quotes_spaces_and_percents_in_names_are_right_everywhere(each_database: Dsn) -> None:
    schema, table = 'S" %s {x}', "T'; DROP TABLE t; --%(a)s"
    quoted = '"S"" %s {x}"."T\'; DROP TABLE t; --%(a)s"'
    run(
        each_database,
        'CREATE SCHEMA "S"" %s {x}"',
        f'CREATE TABLE {quoted} (id int, "K""{{}}%" timestamptz) PARTITION BY RANGE ("K""{{}}%")',
        f'CREATE TABLE "S"" %s {{x}}"."d\'{{%" PARTITION OF {quoted} DEFAULT WITH (fillfactor = 50)',
        f"INSERT INTO {quoted} VALUES (1, '2026-04-05+00')",
    )
    named = policies({"parent": f"{schema}.{table}", "premake": 1, "default": "drain"})
    created = made(each_database, named, parent=f"{schema}.{table}")
    assert [one.drained for one in created.partitions] == [0, 1]
    assert f"{table}_2026_04" in partitions(each_database, quoted.replace("'", "''"))


def test_tablespace_comes_from_the_parent_and_persistence_from_the_sibling(each_database: Dsn) -> None:
    space = f'"space {secrets.token_hex(4)}"'
    run(each_database, "SET allow_in_place_tablespaces = on", f"CREATE TABLESPACE {space} LOCATION ''")
    try:
        run(
            each_database,
            f"CREATE TABLE events (at timestamptz) PARTITION BY RANGE (at) TABLESPACE {space}",
            "CREATE UNLOGGED TABLE sibling PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')"
            " TABLESPACE pg_default",
        )
        made(each_database, policies({"premake": 1}))
        kinds = (
            "SELECT c.relpersistence, quote_ident(t.spcname) FROM pg_class c JOIN pg_tablespace t"
            " ON t.oid = c.reltablespace WHERE c.relname = 'events_2026_04'"
        )
        assert run(each_database, kinds) == [("u", space)]
    finally:
        run(each_database, "DROP TABLE IF EXISTS events", f"DROP TABLESPACE {space}")


# --- sub-partitions ---


def test_new_partitions_are_partitioned_as_their_siblings_and_take_rows_at_once(each_database: Dsn) -> None:
    run(
        each_database,
        "CREATE TABLE events (at timestamptz, region text) PARTITION BY RANGE (at)",
        "CREATE TABLE m PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')"
        " PARTITION BY LIST (lower(region))",
        "CREATE TABLE m_eu PARTITION OF m FOR VALUES IN ('eu', 'e''u')",
        "CREATE TABLE other PARTITION OF m DEFAULT",
    )
    made(each_database, policies({"premake": 1}))
    run(each_database, "INSERT INTO events VALUES ('2026-03-02+00', 'E''U'), ('2026-04-02+00', 'x')")
    assert run(each_database, "SELECT tableoid::regclass::text FROM events ORDER BY 1") == [
        ("events_2026_03_eu",),
        ("events_2026_04_1",),
    ]


def test_sub_partitions_by_range_are_made_before_their_parent_is_attached(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        "CREATE TABLE events_2026_02 PARTITION OF events FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00')"
        " PARTITION BY RANGE (at)",
    )
    two = policies({"premake": 1}, {"parent": "public.events_*", "interval": "day", "premake": 2})
    made(each_database, two)
    assert list(partitions(each_database, "events_2026_03")) == [
        f"events_2026_03_2026_03_{day}" for day in (15, 16, 17)
    ]
    assert not partitions(each_database, "events_2026_04")
    assert not any(one.create for one in plan(each_database, two, NOW).parents)


# --- DEFAULT ---

DEFAULT = "CREATE TABLE rest PARTITION OF events DEFAULT"
DRAIN = {"premake": 1, "default": "drain", "drain_rows": 3}


def test_rows_of_default_move_into_their_new_partition(each_database: Dsn) -> None:
    run(each_database, RICH, DEFAULT)
    run(
        each_database,
        "CREATE TABLE deleted (id bigint)",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO deleted VALUES (OLD.id); RETURN OLD; END'",
        "CREATE TRIGGER kept BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep()",
        "CREATE TABLE notes (event_id bigint, event_at timestamptz,"
        " FOREIGN KEY (event_id, event_at) REFERENCES events ON DELETE CASCADE)",
        'INSERT INTO events (at, "User Id", body)'
        " VALUES ('2026-04-01+00', 1, 'first'), ('2026-04-30 23:59:59+00', 2, 'last'), ('2026-05-01+00', 3, 'not')",
        "INSERT INTO notes SELECT id, at FROM events",
    )
    before = run(each_database, "SELECT * FROM events ORDER BY id")
    created = made(each_database, policies(DRAIN))
    assert [(one.name, one.drained) for one in created.partitions] == [("events_2026_03", 0), ("events_2026_04", 2)]
    assert run(each_database, "SELECT * FROM events ORDER BY id") == before
    assert run(each_database, "SELECT body FROM rest") == [("not",)]
    # Nobody noticed: no trigger fired, and no foreign key's cascade.
    assert run(each_database, "SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM notes)") == [(0, 3)]


def test_rows_beyond_the_cap_stop_their_partition_and_no_other(each_database: Dsn) -> None:
    run(each_database, EVENTS, DEFAULT, "INSERT INTO events SELECT n, '2026-03-05+00' FROM generate_series(1, 4) n")
    with pytest.raises(RowsInDefault, match="events_2026_03: More than 3 rows") as stopped:
        made(each_database, policies(DRAIN))
    assert [one.name for one in stopped.value.created.partitions] == ["events_2026_04"]
    assert partitions(each_database).keys() == {"rest", "events_2026_04"}
    assert run(each_database, "SELECT count(*) FROM rest") == [(4,)]


def test_rows_in_default_are_only_reported_unless_the_policy_says_drain(each_database: Dsn) -> None:
    run(each_database, EVENTS, DEFAULT, "INSERT INTO events VALUES (1, '2026-04-05+00')")
    with pytest.raises(RowsInDefault, match="events_2026_04: 1 rows") as stopped:
        made(each_database, policies({"premake": 2}))
    assert [one.name for one in stopped.value.created.partitions] == ["events_2026_03", "events_2026_05"]


@pytest.mark.parametrize("treatment", ["drain", "report"])
def test_rows_that_came_into_default_after_the_plan_are_treated_alike(database: Dsn, treatment: str) -> None:
    run(database, EVENTS, DEFAULT)
    chosen = policies({"premake": 1, "default": treatment})
    todo = planned(database, chosen)
    run(database, "INSERT INTO events VALUES (1, '2026-04-05+00')")
    if treatment == "drain":
        assert [one.drained for one in create(database, todo, chosen).partitions] == [0, 1]
    else:
        with pytest.raises(RowsInDefault, match="events_2026_04: DEFAULT has rows of its range"):
            create(database, todo, chosen)


def test_rows_that_cannot_leave_default_unnoticed_stay(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        DEFAULT,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "CREATE TRIGGER noted AFTER DELETE ON rest FOR EACH ROW EXECUTE FUNCTION note()",
        "ALTER TABLE rest ENABLE ALWAYS TRIGGER noted",
        "INSERT INTO events VALUES (1, '2026-04-05+00')",
    )
    with pytest.raises(RowsInDefault, match="would notice that rows leave DEFAULT"):
        made(each_database, policies(DRAIN))
    assert run(each_database, "SELECT count(*) FROM rest") == [(1,)]


# --- the plan and the world ---


def test_what_exists_meanwhile_is_skipped_and_what_overlaps_is_an_error(each_database: Dsn) -> None:
    run(each_database, EVENTS)
    chosen = policies({"premake": 1})
    todo = planned(each_database, chosen)
    run(
        each_database,
        "CREATE TABLE mine PARTITION OF events FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00')",
    )
    created = create(each_database, todo, chosen)
    assert created.skipped == ("events_2026_03",)
    assert [one.name for one in created.partitions] == ["events_2026_04"]
    run(
        each_database,
        "DROP TABLE events_2026_04",
        "CREATE TABLE odd PARTITION OF events FOR VALUES FROM ('2026-04-10+00') TO ('2026-04-20+00')",
    )
    with pytest.raises(Refused, match=r"does not fit any more: events_2026_04 would overlap odd"):
        create(each_database, todo, chosen)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE events RENAME TO others", "gone, or has another name"),
        ("DROP TABLE events", "gone, or has another name"),
        ("CREATE TABLE events_2026_04 ()", "already exists"),
        (DEFAULT, "DEFAULT partition is another one now"),
    ],
)
def test_a_plan_that_no_longer_fits_is_a_clear_error(database: Dsn, change: str, said: str) -> None:
    run(database, EVENTS)
    chosen = policies({"premake": 1})
    todo = planned(database, chosen)
    run(database, change)
    with pytest.raises(Refused, match=said) as refused:
        create(database, todo, chosen)
    assert refused.value.retry


def test_one_bad_parent_among_many_stops_no_other(each_database: Dsn) -> None:
    count, bad = 200, 77
    run(
        each_database,
        *(f"CREATE TABLE e{n} (id int, at timestamptz) PARTITION BY RANGE (at)" for n in range(count)),
        f"CREATE TABLE rest PARTITION OF e{bad} DEFAULT",
        f"INSERT INTO e{bad} VALUES (1, '2026-03-05+00')",
    )
    all_ = policies({"parent": "public.e*", "premake": 1})
    todo = plan(each_database, all_, NOW).parents
    assert len(todo) == count
    results = {one.parent.name: result for one, result in create_all(each_database, todo, all_, now=NOW)}
    failed = {name: result for name, result in results.items() if isinstance(result, PgOpsError)}
    assert failed.keys() == {f"e{bad}"}
    assert sum(isinstance(result, Created) and len(result.partitions) == 2 for result in results.values()) == count - 1
    made_ = run(each_database, "SELECT count(*) FROM pg_class WHERE relispartition AND relname ~ '_2026_0[34]$'")
    assert made_ == [(2 * count - 1,)]


# --- pending detaches ---


def pending_detach(dsn: Dsn) -> None:
    """Interrupt a DETACH CONCURRENTLY where it waits for a transaction that has seen the partition."""
    reader = connected(dsn)
    reader.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events")
    detacher = connected(dsn)
    detacher.cursor().execute("SET lock_timeout = '300ms'")
    with pytest.raises(Exception, match="lock timeout"):
        detacher.cursor().execute("ALTER TABLE events DETACH PARTITION a CONCURRENTLY")
    reader.close()
    detacher.close()


def test_an_interrupted_detach_is_finalized_and_its_range_is_made_anew(each_database: Dsn) -> None:
    run(
        each_database,
        EVENTS,
        "CREATE TABLE a PARTITION OF events FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00')",
        "INSERT INTO events VALUES (1, '2026-03-05+00')",
    )
    pending_detach(each_database)
    chosen = policies({"premake": 1})
    todo = planned(each_database, chosen)
    assert [one.name for one in todo.finalize] == ["a"]
    assert [new.name for new in todo.create] == ["events_2026_03", "events_2026_04"]
    effort = finalize(each_database, todo.finalize[0].oid, chosen)
    assert effort is not None
    assert finalize(each_database, todo.finalize[0].oid, chosen) is None
    create(each_database, todo, chosen)
    assert run(each_database, "SELECT count(*) FROM a") == [(1,)]
    assert partitions(each_database).keys() == {"events_2026_03", "events_2026_04"}
