"""A sound backup passes its drill; a drill that cries wolf is soon ignored."""

from __future__ import annotations

import pytest

from pgops.recovery import compare, make_empty, restore, run_amcheck
from tests.drills import drilled, scratch_database
from tests.nights import execute


def test_the_sequence_of_a_foreign_tables_column_is_not_compared(night):
    """Its rows lie on another server, which a drill must not touch."""
    execute(
        night.dsn,
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1')",
        "CREATE FOREIGN TABLE f (id serial) SERVER elsewhere",
    )
    assert drilled(night).problems == ()


@pytest.mark.parametrize("body", ["INSERT INTO public.log VALUES (tg_tag)", "RAISE 'no changes here'"])
def test_an_event_trigger_of_the_source_does_not_see_amcheck_being_installed(night, body):
    execute(
        night.dsn,
        "CREATE TABLE log (tag text)",
        f"CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$",
        "CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION ev()",
    )
    committed = night.backup()
    with scratch_database(night.dsn) as scratch:
        restore(night.catalog, committed.backup_id, scratch, jobs=2)
        assert run_amcheck(scratch, jobs=2).passed
        assert compare(night.catalog, committed.backup_id, scratch, jobs=2).problems == ()


def test_a_restore_can_be_tried_again(night):
    """A restore that was cut off leaves half a database, and every further try failed on what it found."""
    execute(night.dsn, "CREATE TABLE t AS SELECT g FROM generate_series(1, 10) g")
    committed = night.backup()
    with scratch_database(night.dsn) as scratch:
        execute(scratch, "CREATE TABLE t (g int)")
        make_empty(night.dsn.on("postgres"), scratch.dbname)
        restore(night.catalog, committed.backup_id, scratch, jobs=2)
        assert compare(night.catalog, committed.backup_id, scratch, jobs=2).problems == ()
