"""Alembic revisions become SQL in their order, without a database, or are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgops.errors import Refused
from pgops.migration.model import Migration
from pgops.migration.scripts.revisions import revisions_in
from pgops.migration.scripts.statements import acknowledges_destruction, parse

HEADER = """import sqlalchemy as sa
from alembic import context, op
revision = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = {depends!r}
"""


def write(
    location: Path,
    revision: str,
    down: str | tuple[str, ...] | None = None,
    up: str = 'op.execute("SELECT 1")',
    back: str = 'op.execute("SELECT 2")',
    depends: str | None = None,
    more: str = "",
) -> None:
    versions = location / "versions"
    versions.mkdir(exist_ok=True)
    body = f"{more}\ndef upgrade():\n    {up}\ndef downgrade():\n    {back}\n"
    text = f'"""does {revision}"""\n' + HEADER.format(revision=revision, down=down, depends=depends) + body
    (versions / f"{revision}_x.py").write_text(text)


def only(location: Path, up: str = 'op.execute("SELECT 1")', back: str = "pass", more: str = "") -> Migration:
    write(location, "a1", None, up, back, more=more)
    [migration] = revisions_in(location)
    return migration


def refusal(location: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        revisions_in(location)
    assert caught.value.remedy
    return caught.value


def shape(migration: Migration) -> list[tuple[bool, list[str]]]:
    return [(one.transactional, [each.kind for each in one.statements]) for one in parse(migration.up).segments]


def test_branches_heads_merges_and_dependencies_come_in_an_order_that_works(tmp_path: Path) -> None:
    write(tmp_path, "d4", "a1", depends="c3")  # by its name it would come before what it depends on
    write(tmp_path, "a1")
    write(tmp_path, "c3", "b2")
    write(tmp_path, "b2", "a1")
    write(tmp_path, "e5", ("c3", "d4"), up="pass", back="pass")  # a merge, which does nothing
    write(tmp_path, "f6", "e5")
    write(tmp_path, "g7", "e5")  # a second head
    write(tmp_path, "z0")  # a second base
    order = [one.version for one in revisions_in(tmp_path)]
    assert sorted(order) == ["a1", "b2", "c3", "d4", "f6", "g7", "z0"]
    for earlier, later in [("a1", "b2"), ("b2", "c3"), ("c3", "d4"), ("d4", "f6"), ("d4", "g7")]:
        assert order.index(earlier) < order.index(later), order


def test_a_revision_says_its_name_and_both_directions(tmp_path: Path) -> None:
    migration = only(tmp_path, back='op.drop_column("users", "plan")')
    assert (migration.version, migration.name, migration.origin) == ("a1", "does a1", "alembic")
    assert migration.up.text == "SELECT 1;\n"
    assert migration.down is not None and migration.down.text == "ALTER TABLE users DROP COLUMN plan;\n"


@pytest.mark.parametrize("back", ["pass", 'raise NotImplementedError("no way back")'])
def test_a_downgrade_that_does_nothing_is_no_rollback(tmp_path: Path, back: str) -> None:
    assert only(tmp_path, back=back).down is None


def test_statements_of_an_autocommit_block_commit_by_themselves(tmp_path: Path) -> None:
    up = """op.add_column("users", sa.Column("plan", sa.Text))
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE mood ADD VALUE 'meh'; ALTER TYPE mood ADD VALUE 'well';")
        op.create_index("users_plan_idx", "users", ["plan"], postgresql_concurrently=True)
    op.execute("SELECT 1")"""
    assert shape(only(tmp_path, up)) == [
        (True, ["ALTER TABLE"]),
        (False, ["ALTER TYPE"]),
        (False, ["ALTER TYPE"]),
        (False, ["CREATE INDEX CONCURRENTLY"]),
        (True, ["SELECT"]),
    ]


def test_values_and_percent_signs_are_written_as_they_will_be_run(tmp_path: Path) -> None:
    up = """op.execute("UPDATE users SET name = 'x' WHERE email LIKE '%@example.com'")
    op.bulk_insert(sa.table("plans", sa.column("name", sa.Text)), [{"name": "50 % off"}])
    op.get_bind().execute(sa.text("DELETE FROM plans WHERE name = :name"), {"name": "it's"})
    op.execute(sa.table("plans", sa.column("name")).delete().where(sa.column("name") == "free"))"""
    assert only(tmp_path, up).up.text.splitlines() == [
        "UPDATE users SET name = 'x' WHERE email LIKE '%@example.com';",
        "INSERT INTO plans (name) VALUES ('50 % off');",
        "DELETE FROM plans WHERE name = 'it''s';",
        "DELETE FROM plans WHERE name = 'free';",
    ]


def test_comments_that_mean_something_go_into_the_sql(tmp_path: Path) -> None:
    more = "# pgops: allow ban-drop-column\n# rollback: destructive acknowledged\n# another comment\n"
    migration = only(tmp_path, back='op.execute("DROP TABLE plans")', more=more)
    assert migration.up.text == "-- pgops: allow ban-drop-column\nSELECT 1;\n"
    assert migration.down is not None and acknowledges_destruction(migration.down)
    assert not acknowledges_destruction(migration.up)


@pytest.mark.parametrize(
    "up",
    [
        'rows = op.get_bind().execute(sa.text("SELECT id FROM users")).fetchall()',
        'for row in op.get_bind().execute(sa.text("SELECT id FROM users")): pass',
        'op.execute("SELECT 1" if op.get_bind().execute(sa.text("SELECT 1")) else "SELECT 2")',
    ],
)
def test_a_revision_that_reads_the_database_is_refused(tmp_path: Path, up: str) -> None:
    write(tmp_path, "a1", None, up)
    error = refusal(tmp_path)
    assert "reads the database" in error.what
    assert "a1_x.py, upgrade()" in error.where
    assert "INSERT ... SELECT" in error.remedy


@pytest.mark.parametrize(
    ("up", "says"),
    [
        ("sa.inspect(op.get_bind()).get_table_names()", "cannot be written as SQL: NoInspectionAvailable"),
        ("raise ValueError('boom')", "ValueError: boom"),
        ("import uuid; op.execute(f\"SELECT '{uuid.uuid4()}'\")", "makes other SQL every time"),
    ],
)
def test_a_revision_that_cannot_be_written_down_is_refused(tmp_path: Path, up: str, says: str) -> None:
    write(tmp_path, "a1", None, up)
    error = refusal(tmp_path)
    assert says in error.what
    assert "a1_x.py" in error.where


def test_revisions_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "b2", "a1")
    assert "a1" in refusal(tmp_path).what  # missing
    write(tmp_path, "a1", "b2")
    assert "ycle" in refusal(tmp_path).what
    write(tmp_path, "a1")
    (tmp_path / "versions" / "copy.py").write_text((tmp_path / "versions" / "a1_x.py").read_text())
    assert "present more than once" in refusal(tmp_path).what


def test_a_file_that_is_not_python_is_refused_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "a1", None, "op.execute(")
    error = refusal(tmp_path)
    assert "not Python" in error.what
    assert "a1_x.py:" in error.where


def test_a_link_out_of_the_folder_is_refused_before_it_is_executed(tmp_path: Path) -> None:
    write(tmp_path, "a1")
    outside = tmp_path.parent / f"{tmp_path.name}.py"
    outside.write_text("raise SystemExit")
    (tmp_path / "versions" / "b2_x.py").symlink_to(outside)
    assert "link out of the folder" in refusal(tmp_path).what


def test_a_folder_without_revisions_is_refused(tmp_path: Path) -> None:
    assert "no folder versions/" in refusal(tmp_path).what
    (tmp_path / "versions").mkdir()
    assert "no revisions" in refusal(tmp_path).what


def test_alembic_is_imported_only_when_it_is_used() -> None:
    code = (
        "import sys, pgops.migration.scripts.revisions, pgops.migration.gate.check; sys.exit('alembic' in sys.modules)"
    )
    folder = str(Path(__file__).parents[2] / "plugins")
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": folder}, check=True)
