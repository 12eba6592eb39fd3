"""What the benchmarks feed to the project is what their documentation says."""

from __future__ import annotations

from benchmarks.rig.migrations import ALLOWED, everyday, hundred
from pgops.fleet import MigrationPolicy
from pgops.migration.gate.check import check
from pgops.migration.scripts.statements import parse

RULES = dict.fromkeys(ALLOWED, "warning")
POLICY = MigrationPolicy(folder="migrations/shop", connection="copies", rules=RULES)


def test_the_measured_migration_has_a_hundred_statements_and_nothing_keeps_it_from_its_rehearsal() -> None:
    migration = hundred()
    (segment,) = parse(migration.up).segments
    assert len(segment.statements) == 100
    assert {one.rule for one in check([migration], POLICY, 150018) if one.level == "error"} == set()


def test_every_everyday_migration_can_be_read_and_there_are_as_many_as_were_asked_for() -> None:
    migrations = everyday(23)
    assert len({migration.version for migration in migrations}) == 23
    for migration in migrations:
        assert migration.down is not None
        assert parse(migration.up).statements and parse(migration.down).statements
