"""What is wrong with a migration is said before it runs: by which rule, in which line, and how to mend it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgops.errors import Refused
from pgops.fleet.migrations import MigrationPolicy
from pgops.migration.gate import check as gate
from pgops.migration.gate import rules, squawk
from pgops.migration.model import Finding, Migration, Source
from pgops.migration.scripts.sources import migrations_in

BAD = Path(__file__).parent / "bad"
STATIC = migrations_in(BAD / "static")
DYNAMIC = migrations_in(BAD / "dynamic")
ACKNOWLEDGED = "-- rollback: destructive acknowledged\n"


def policy(**levels: str) -> MigrationPolicy:
    named = {rule.replace("_", "-"): level for rule, level in levels.items()}
    return MigrationPolicy.model_validate({"folder": "migrations/app", "connection": "x", "rules": named})


def check(up: str, down: str | None = "SELECT 1;", **levels: str) -> list[Finding]:
    migration = Migration("1", "x", Source("up.sql", up), None if down is None else Source("down.sql", down))
    return gate.check([migration], policy(**levels), 150018)


def found(up: str, down: str | None = "SELECT 1;", **levels: str) -> list[tuple[str, int]]:
    return [(finding.rule, finding.line) for finding in check(up, down, **levels)]


def because(migration: Migration) -> set[str]:
    """What the file itself says that it is refused for."""
    texts = [source.text for source in (migration.up, migration.down) if source]
    return {rule for text in texts for line in re.findall(r"refused because: (.+)", text) for rule in line.split(", ")}


@pytest.fixture(scope="module")
def static_findings() -> list[Finding]:
    return gate.check(STATIC, policy(), 150018)


@pytest.mark.parametrize("migration", STATIC, ids=[one.label for one in STATIC])
def test_a_bad_migration_is_refused_by_exactly_the_rule_that_it_breaks(
    static_findings: list[Finding], migration: Migration
) -> None:
    names = {source.name for source in (migration.up, migration.down) if source}
    errors = [one for one in static_findings if one.where in names and one.level == "error"]
    assert {one.rule for one in errors} == because(migration), [str(one) for one in errors]
    assert all(one.message and one.remedy for one in errors)
    assert gate.refused(static_findings, migration)


def test_every_error_of_our_own_rules_has_a_bad_migration() -> None:
    shown = {rule for migration in STATIC for rule in because(migration)}
    assert {rule for rule, level in rules.LEVELS.items() if level == "error"} <= shown


def test_what_only_a_run_can_show_passes_the_gate() -> None:
    findings = gate.check(DYNAMIC, policy(), 150018)
    assert [str(one) for one in findings if one.level == "error"] == []
    assert all(because(migration) for migration in DYNAMIC)


def test_many_migrations_are_judged_each_for_itself_in_their_order() -> None:
    good = Migration("2", "good", Source("2.sql", "ALTER TABLE a ADD COLUMN b text;"), Source("2d.sql", "SELECT 1;"))
    bad = Migration("10", "bad", Source("10.sql", "SELECT 1;\nTRUNCATE a;"), None)
    worse = Migration("11", "worse", Source("11.sql", "SELEC;"), Source("11d.sql", "BEGIN;"))
    findings = gate.check([good, bad, worse], policy(), 150018)
    assert [(one.where, one.line, one.rule) for one in findings] == [
        ("10.sql", 0, "missing-rollback"),
        ("10.sql", 2, "truncate"),
        ("11.sql", 1, "syntax"),
        ("11d.sql", 1, "own-transaction"),
    ]
    assert [gate.refused(findings, one) for one in (good, bad, worse)] == [False, True, True]


def test_the_policy_decides_what_is_an_error() -> None:
    assert [one.level for one in check("TRUNCATE a;")] == ["error"]
    assert [one.level for one in check("TRUNCATE a;", truncate="warning")] == ["warning"]
    assert check("TRUNCATE a;", truncate="off") == []
    text = "ALTER TABLE a ADD COLUMN b varchar(20);"
    assert [one.level for one in check(text)] == ["warning"]
    assert [one.level for one in check(text, prefer_text_field="error")] == ["error"]
    assert check(text, prefer_text_field="off") == []
    assert found("CREATE TABLE b ();", require_table_schema="error") == [
        ("require-table-schema", 1)
    ]  # opt-in of squawk's


def test_a_policy_with_a_rule_that_does_not_exist_is_refused() -> None:
    for level in ("off", "error"):
        with pytest.raises(Refused, match="There is no rule 'ban-drop-colum'"):
            check("SELECT 1;", ban_drop_colum=level)


def test_a_policy_may_name_the_rules_of_other_checks() -> None:
    assert gate.check(STATIC[:0], policy(invalid_index="error"), 150018, known=["invalid-index"]) == []
    migration = Migration("1", "x", Source("u", "SELECT 1;"), Source("d", "SELECT 1;"))
    assert gate.check([migration], policy(invalid_index="error"), 150018, known=["invalid-index"]) == []


def test_a_file_that_allows_itself_a_rule_says_so() -> None:
    up = "-- pgops: allow truncate, lock-table\nTRUNCATE a;\nTRUNCATE a;"
    findings = check(up)
    assert [(one.rule, one.level, one.line) for one in findings] == [
        ("allowed", "warning", 1),
        ("unused-allow", "warning", 1),
    ]
    assert "truncate, which is there 2 times" in findings[0].message
    # It holds for its own file only.
    assert found("-- pgops: allow drop-cascade\nDROP VIEW v CASCADE;", "DROP VIEW w CASCADE;", ban_drop_view="off") == [
        ("allowed", 1),
        ("drop-cascade", 1),
    ]
    assert found("-- pgops: allow missing-rollback\nSELECT 1;", None) == [("allowed", 1)]


def test_squawks_own_comments_silence_nothing_unseen() -> None:
    up = "-- squawk-ignore renaming-table\nALTER TABLE a RENAME TO b;"
    assert found(up) == [("allowed", 1)]
    assert found("-- squawk-ignore-file\nALTER TABLE a RENAME TO b;") == [("renaming-table", 2)]


def test_no_comment_allows_what_cannot_be_run() -> None:
    assert found("-- pgops: allow syntax\nSELEC 1;") == [("syntax", 2)]


def test_squawk_sees_each_statement_as_it_will_be_run() -> None:
    mixed = """CREATE TABLE b (id bigint PRIMARY KEY, c text);
CREATE INDEX b_c_idx ON b (c);
ALTER TABLE a ADD CONSTRAINT x CHECK (c IS NOT NULL) NOT VALID;
-- pgops: autocommit
ALTER TABLE a VALIDATE CONSTRAINT x;
CREATE INDEX CONCURRENTLY a_c_idx ON a (c) -- a comment at the end
;
ALTER TABLE a ALTER COLUMN c SET NOT NULL; ALTER TABLE a RENAME TO z;"""
    assert found(mixed) == [("renaming-table", 8)]
    together = "ALTER TABLE a ADD CONSTRAINT x CHECK (c > 0) NOT VALID;\nALTER TABLE a VALIDATE CONSTRAINT x;"
    assert found(together) == [("constraint-missing-not-valid", 2)]


def test_the_servers_version_counts() -> None:
    migration = Migration("1", "x", Source("u", "ALTER TABLE a ADD COLUMN b int DEFAULT 0;"), Source("d", "SELECT 1;"))
    levels = policy(prefer_bigint_over_int="off")
    assert gate.check([migration], levels, 150018) == []
    assert [one.rule for one in gate.check([migration], levels, 100023)] == ["adding-field-with-default"]


def test_no_name_of_a_migration_reaches_the_command_line(tmp_path: Path) -> None:
    for name in ("--config=/etc/passwd", "../../escape", "$(touch pwned)", "a\nb", "*.sql"):
        migration = Migration(name, name, Source(name, "TRUNCATE a;"), Source(f"{name} down", "SELECT 1;"))
        assert [(one.where, one.rule) for one in gate.check([migration], policy(), 150018)] == [(name, "truncate")]


def test_a_configuration_file_of_the_machine_is_not_squawks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["renaming-table"]\n')
    monkeypatch.chdir(tmp_path)
    assert found("ALTER TABLE a RENAME TO b;") == [("renaming-table", 1)]


def test_without_squawk_the_gate_does_not_pass_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    squawk._program.cache_clear()
    try:
        with pytest.raises(Refused, match="not installed"):
            check("SELECT 1;")
    finally:
        squawk._program.cache_clear()


# --- what the rules leave alone ---


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("CREATE TABLE b AS SELECT * FROM a;\nUPDATE b SET x = 1;\nTRUNCATE b;", "SELECT 1;"),
        ("ALTER TABLE a ADD COLUMN b text;\nINSERT INTO c VALUES (1);", "SELECT 1;"),
        ("UPDATE a SET b = 1 WHERE b IS NULL;\nALTER TABLE a ADD COLUMN c text;", "SELECT 1;"),
        ("ALTER TABLE a ADD COLUMN c bigint, ADD COLUMN d text;\nALTER TABLE a ADD COLUMN e text;", "SELECT 1;"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS x;\nREFRESH MATERIALIZED VIEW m;", "SELECT 1;"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m;", "SELECT 1;"),
        ("CREATE TYPE t AS ENUM ('a');\nALTER TYPE t ADD VALUE 'b' AFTER 'a';\nSELECT 'b'::t;", "SELECT 1;"),
        ("-- pgops: autocommit\nALTER TYPE t ADD VALUE 'b' AFTER 'a';\nSELECT 'b'::t;", "SELECT 1;"),
        ("CREATE TABLE b (LIKE p);\nALTER TABLE p ATTACH PARTITION b FOR VALUES IN (1);", "SELECT 1;"),
        (
            "ALTER TABLE b ADD CONSTRAINT c CHECK (x = 1) NOT VALID;\n-- pgops: autocommit\n"
            "ALTER TABLE b VALIDATE CONSTRAINT c;\nALTER TABLE p ATTACH PARTITION b FOR VALUES IN (1);",
            "SELECT 1;",
        ),
        (
            "CREATE TABLE b (id bigint PRIMARY KEY, x text, y text);\n"
            "CREATE INDEX b_x_idx ON b (x) WHERE y IS NULL;\nCREATE INDEX b_lower_idx ON b (lower(x));\n"
            "CREATE INDEX b_x_y_idx ON b (x, y);\nCREATE INDEX b_y_x_idx ON b (y, x);\n"
            "CREATE INDEX b_gin_idx ON b USING gin (x);",
            "SELECT 1;",
        ),
        (
            "CREATE TABLE b (id bigint PRIMARY KEY);\n"
            "CREATE TABLE c (b_id bigint REFERENCES b, n bigint, PRIMARY KEY (b_id, n));",
            "SELECT 1;",
        ),
        ("SET LOCAL work_mem = '64MB';\nRESET work_mem;", "SELECT 1;"),
        ("DO $$ BEGIN FOR i IN 1..3 LOOP EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END $$;", "SELECT 1;"),
        # A rollback drops, renames and retypes: that is what it is for.
        (
            "SELECT 1;",
            ACKNOWLEDGED + "ALTER TABLE a DROP COLUMN c;\nALTER TABLE a ALTER COLUMN d TYPE int;",
        ),
        ("CREATE TABLE b ();\nCREATE TABLE c ();", ACKNOWLEDGED + "DROP TABLE b;\nDROP TABLE c;"),
        ("SELECT 1;", "ALTER TABLE b RENAME TO a;"),
    ],
)
def test_what_is_harmless_is_left_alone(up: str, down: str) -> None:
    said = [one for one in check(up, down) if one.level == "error" or one.rule in rules.LEVELS]
    assert [str(one) for one in said] == []


@pytest.mark.parametrize(
    ("up", "rule"),
    [
        ("CREATE TABLE b (x text);\nCREATE INDEX i ON b (x);\nCREATE INDEX j ON b (x, y);", "prefix-index"),
        ("ALTER TABLE a ADD COLUMN x text;\nALTER TABLE b ADD COLUMN x text;", "several-exclusive-locks"),
        ("CREATE TABLE b (a_id bigint PRIMARY KEY REFERENCES a);", "foreign-key-locks-parent"),
        ("CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();", "trigger-on-existing-table"),
        ("SET lock_timeout = '1h';", "session-setting"),
        ("CREATE TABLE b (id bigint PRIMARY KEY, up bigint UNIQUE REFERENCES b ON DELETE CASCADE);", "cascade-delete"),
    ],
)
def test_advice_does_not_refuse(up: str, rule: str) -> None:
    findings = check(up)
    assert [(one.rule, one.level) for one in findings] == [(rule, "warning")]
