"""The review asks what a person would ask, and blames a migration for nothing that was there before it."""

from __future__ import annotations

import pytest

from pgops.fleet.migrations import MigrationPolicy
from pgops.include import include_folder
from pgops.migration.model import Finding
from pgops.migration.proof.compare import take
from pgops.migration.proof.review import RULES, WRITES_FAIL, review
from pgops.migration.proof.snapshot import Snapshot
from pgops.postgres import Dsn, connect

USERS = """
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text);
INSERT INTO users (email) SELECT 'u' || i FROM generate_series(1, 100) AS i;
ANALYZE users;
"""
CLEAN = """
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at = now(); RETURN NEW; END$$;
CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE RESTRICT,
    kind text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON notes (user_id, kind);
CREATE INDEX ON notes (kind);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TABLE notes_history (id bigint PRIMARY KEY, at timestamptz NOT NULL);
COMMENT ON TABLE notes_history IS 'Retention: 90 days';
"""
# What the source document's own schema had wrong, and more.
BAD = {
    "foreign-key-without-index": ("CREATE TABLE a (id bigint PRIMARY KEY, u bigint REFERENCES users, k int);"
                                  "CREATE INDEX ON a (k, u); CREATE INDEX ON a (u) WHERE k > 1", "public.a.a_u_fkey"),
    "unvalidated-constraint": ("ALTER TABLE users ADD CONSTRAINT filled CHECK (email <> '') NOT VALID",
                               "public.users.filled"),
    "cascade-fan-out": ("CREATE TABLE a (id bigint PRIMARY KEY, u bigint REFERENCES users ON DELETE CASCADE);"
                        "CREATE INDEX ON a (u); INSERT INTO a SELECT i, 1 + i % 10 FROM generate_series(1, 500) AS i;"
                        "ANALYZE a",
                        "public.a.a_u_fkey"),
    "big-table-not-partitioned": ("CREATE TABLE a AS SELECT i AS id, repeat('x', 1000) AS t, now() AS at"
                                  " FROM generate_series(1, 2000) AS i;"
                                  "ALTER TABLE a ADD PRIMARY KEY (id)", "public.a"),
    "no-audit-trail": ("ALTER TABLE users ADD updated_at timestamptz NOT NULL DEFAULT now()", "public.users"),
    "retention-undefined": ("CREATE TABLE login_events (id bigint PRIMARY KEY)", "public.login_events"),
    "redundant-index": ("CREATE TABLE a (id bigint PRIMARY KEY, k text); CREATE UNIQUE INDEX again ON a (id)",
                        "public.again"),
    "timestamp-without-time-zone": ("ALTER TABLE users ADD seen timestamp", "public.users.seen"),
    "small-key": ("CREATE TABLE a (id serial PRIMARY KEY); INSERT INTO a DEFAULT VALUES", "public.a.id"),
    "nullable-created-at": ("ALTER TABLE users ADD created_at timestamptz DEFAULT now()", "public.users.created_at"),
    "missing-primary-key": ("CREATE TABLE a (id bigint)", "public.a"),
}  # fmt: skip


def execute(dsn: Dsn, *statements: str) -> None:
    with connect(dsn, "tests") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def policy(**settings) -> MigrationPolicy:
    return MigrationPolicy(folder="migrations/app", connection="pg_copies", **settings)


@pytest.fixture
def app(each_database: Dsn) -> Dsn:
    execute(each_database, USERS)
    return each_database


def reviewed(dsn: Dsn, migration: str, **settings) -> list[Finding]:
    before = take(dsn, tables=(), dump=False)
    execute(dsn, *migration.split(";\n"))
    return review(dsn, Snapshot.from_json(before.to_json()), policy(**settings))


def test_every_rule_has_its_query_and_every_query_its_rule():
    files = {path.stem for path in (include_folder() / "sql" / "migration" / "review").glob("*.sql")}
    assert files == RULES.keys() - {WRITES_FAIL} == set(BAD) | {"invalid-index"}


def test_a_migration_that_follows_the_checklist_has_no_findings(app):
    before = take(app, tables=(), dump=False)
    execute(app, CLEAN)
    assert review(app, before, policy()) == []


@pytest.mark.parametrize("rule", BAD)
def test_each_rule_finds_its_case_names_the_object_and_its_remedy_is_sql_that_mends_it(app, rule):
    migration, where = BAD[rule]
    before = take(app, tables=(), dump=False)
    execute(app, migration)
    found = [one for one in review(app, before, policy(big_table_mb=1)) if one.rule == rule]
    assert [one.where for one in found] == [where]
    (finding,) = found
    assert finding.level == ("error" if rule == "unvalidated-constraint" else "warning")
    assert finding.line == 0 and finding.message
    if rule == "no-audit-trail":
        execute(app, CLEAN.strip().splitlines()[0])
    execute(app, finding.remedy)
    if rule != "big-table-not-partitioned":  # whose remedy is only the first step
        assert [one.where for one in review(app, before, policy()) if one.rule == rule] == []


def test_an_invalid_index_is_an_error_and_rebuilding_it_is_the_remedy(app):
    before = take(app, tables=(), dump=False)
    execute(app, "INSERT INTO users (email) VALUES ('u1')")
    with pytest.raises(Exception, match="could not create unique index"):
        execute(app, "CREATE UNIQUE INDEX CONCURRENTLY once ON users (email)")
    (finding,) = review(app, before, policy())
    assert (finding.rule, finding.level, finding.where) == ("invalid-index", "error", "public.once")
    execute(app, "DELETE FROM users WHERE email = 'u1'", finding.remedy)
    assert review(app, before, policy()) == []


def test_what_was_there_before_is_not_blamed_on_the_migration(app):
    for statements, _ in BAD.values():
        if "CREATE TABLE a" not in statements:
            execute(app, statements)
    execute(app, BAD["small-key"][0])
    assert reviewed(app, "ALTER TABLE users ADD note text;\nALTER TABLE a ADD note text") == []


def test_an_index_that_a_migration_takes_from_a_foreign_key_is_blamed_on_it(app):
    execute(app, CLEAN)
    (finding,) = reviewed(app, "DROP INDEX notes_user_id_kind_idx")
    assert (finding.rule, finding.where) == ("foreign-key-without-index", "public.notes.notes_user_id_fkey")


def test_the_policy_decides_what_is_an_error_and_what_is_nothing(app):
    before = take(app, tables=(), dump=False)
    execute(app, BAD["missing-primary-key"][0], BAD["timestamp-without-time-zone"][0])
    rules = {"missing-primary-key": "off", "timestamp-without-time-zone": "error"}
    assert [(one.rule, one.level) for one in review(app, before, policy(rules=rules))] == [
        ("timestamp-without-time-zone", "error")
    ]


def test_the_fan_out_of_a_cascade_is_estimated_through_all_that_follows(app):
    before = take(app, tables=(), dump=False)
    execute(
        app,
        "CREATE TABLE a (id bigint PRIMARY KEY, u bigint REFERENCES users ON DELETE CASCADE)",
        "CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a ON DELETE CASCADE)",
        "INSERT INTO a SELECT i, 1 + i % 100 FROM generate_series(1, 500) AS i",
        "INSERT INTO b SELECT i, 1 + i % 500 FROM generate_series(1, 5000) AS i",
        "CREATE INDEX ON a (u); CREATE INDEX ON b (a)",
    )
    unknown = [one.message for one in review(app, before, policy())]
    assert all("there are no statistics yet" in message for message in unknown) and len(unknown) == 2
    execute(app, "ANALYZE a, b")
    messages = {one.where: one.message for one in review(app, before, policy())}
    assert "also deletes about 10.0 rows of public.b" in messages["public.b.b_a_fkey"]
    assert "also deletes about 55.0 rows of public.a, public.b" in messages["public.a.a_u_fkey"]


def test_how_much_of_a_small_key_is_used_up_is_told(app):
    before = take(app, tables=(), dump=False)
    execute(app, "CREATE TABLE a (id serial PRIMARY KEY)", "SELECT setval('a_id_seq', 1073741824)")
    (finding,) = review(app, before, policy())
    assert "1073741824 are used up (50.00 %)" in finding.message


def test_redundant_indexes_are_only_those_that_another_one_can_stand_in_for(app):
    before = take(app, tables=(), dump=False)
    execute(
        app,
        "CREATE TABLE a (id bigint PRIMARY KEY, k text COLLATE \"C\", v text, UNIQUE (k, v))",
        "CREATE INDEX leads ON a (k)",
        "CREATE INDEX other_order ON a (k DESC)",
        "CREATE INDEX other_class ON a (k text_pattern_ops)",
        "CREATE INDEX other_method ON a USING hash (k)",
        "CREATE INDEX partial ON a (k) WHERE v IS NULL",
        "CREATE INDEX not_leading ON a (v)",
        "CREATE UNIQUE INDEX stricter ON a (k)",
        "CREATE INDEX expression ON a (lower(k))",
        "CREATE INDEX expression_again ON a (lower(k))",
        "CREATE INDEX covering ON a (k) INCLUDE (v)",
    )  # fmt: skip
    found = {one.where for one in review(app, before, policy()) if one.rule == "redundant-index"}
    assert found == {"public.leads", "public.expression_again"}


def test_partitions_are_not_asked_for_what_their_parent_has(app):
    before = take(app, tables=(), dump=False)
    execute(
        app,
        "CREATE TABLE visit_log (id bigint, at timestamptz, u bigint, PRIMARY KEY (id, at),"
        " FOREIGN KEY (u) REFERENCES users) PARTITION BY RANGE (at)",
        "CREATE INDEX ON visit_log (u)",
        "CREATE TABLE visit_log_2025 PARTITION OF visit_log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    )
    assert [(one.rule, one.where) for one in review(app, before, policy())] == [
        ("retention-undefined", "public.visit_log")
    ]


def test_names_that_need_quotes_are_quoted_in_the_remedy(app):
    before = take(app, tables=(), dump=False)
    execute(app, 'CREATE SCHEMA "My App"', 'CREATE TABLE "My App"."a;b" (id bigint)')
    (finding,) = review(app, before, policy())
    assert finding.where == '"My App"."a;b"'
    execute(app, finding.remedy)
    assert review(app, before, policy()) == []
