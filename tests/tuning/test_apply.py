"""An approved change is applied, seen in a new session and taken back exactly; and everything that may come between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.tuning import apply as module
from pgops.tuning import records
from tests.servers import dsn_facts
from tests.tuning.reviews import Stand, verdict

ROOT = Path(__file__).resolve().parents[2]


def test_a_plan_is_applied_verified_and_taken_back_exactly(stand: Stand):
    stand.execute("ALTER SYSTEM SET work_mem = '5MB'", "ALTER SYSTEM SET jit = 'on'", "SELECT pg_reload_conf()")
    assert stand.eventually_has("work_mem", "5MB")
    before, settings = stand.auto_conf(), dict(stand.execute("SELECT name, setting FROM pg_settings"))
    plan = stand.planned()
    assert {"work_mem", "jit", "random_page_cost", "log_connections"} <= {one.setting for one in plan.changes}
    applied = stand.apply(plan)
    assert applied.whole and set(stand.states(plan).values()) == {"applied"}
    for change in plan.changes:
        assert stand.execute(f"SELECT sourcefile ~ 'auto.conf' FROM pg_settings WHERE name = '{change.setting}'") == [
            (True,)
        ]
    assert (stand.value("random_page_cost"), stand.value("log_lock_waits")) == ("1.1", "on")

    undone = stand.apply(stand.planned_reverse(plan))
    assert undone.whole, undone
    assert sorted(stand.auto_conf()) == sorted(before)
    assert dict(stand.execute("SELECT name, setting FROM pg_settings")) == settings
    assert set(stand.states(plan).values()) == {"reversed"}
    with pytest.raises(Refused, match="Nothing of"):
        stand.planned_reverse(plan)


def test_the_scripts_do_what_the_project_does(stand: Stand):
    """Who prefers psql gets the same, both ways, however long the fleet file's reasons are."""
    plan = stand.planned(deliberate={"jit": ("off", "measured:\nshort\n"), "max_connections": ("90", "a\nb")})
    assert all(line.startswith(("--", "ALTER SYSTEM ")) for line in plan.ticket.splitlines())
    before = stand.auto_conf()
    for text in (plan.forward, plan.reverse):
        stand.execute(*[line for line in text.splitlines() if not line.startswith("--")])
        if text is plan.forward:
            assert stand.eventually_has("random_page_cost", "1.1")
    assert sorted(stand.auto_conf()) == sorted(before)


def test_only_what_was_asked_for_is_applied(stand: Stand):
    plan = stand.planned("jit", "work_mem")
    assert sorted(one.setting for one in plan.changes) == ["jit", "work_mem"]
    assert stand.apply(plan).whole
    assert len(stand.auto_conf()) == 2


def test_nothing_is_applied_that_nobody_approved(stand: Stand):
    plan = stand.look().plan
    records.record_plan(stand.ledger, plan, "a run", "ann")
    with pytest.raises(Refused, match="Nobody has approved"):
        records.approved_plan(stand.ledger, plan.id)
    assert stand.auto_conf() == []


@pytest.mark.parametrize(
    "statement",
    ["ALTER SYSTEM SET work_mem = '7MB'", "ALTER SYSTEM SET work_mem = '4MB'"],
    ids=["another value", "the same value from elsewhere"],
)
def test_what_somebody_changed_between_plan_and_apply_is_refused_and_named(stand: Stand, statement):
    plan = stand.planned("work_mem", "jit")
    stand.execute(statement, "SELECT pg_reload_conf()")
    before = [line for line in stand.auto_conf() if "work_mem" in line]
    applied = stand.apply(plan)
    (refused,) = applied.of("refused")
    assert refused.setting == "work_mem" and "changed since it was planned" in refused.says
    assert [line for line in stand.auto_conf() if "work_mem" in line] == before
    assert stand.value("jit") == "off", "the others go on"


def test_what_somebody_changed_since_is_not_taken_back_over_them(stand: Stand):
    plan = stand.planned("work_mem", "jit")
    assert stand.apply(plan).whole
    stand.execute("ALTER SYSTEM SET work_mem = '7MB'", "SELECT pg_reload_conf()")
    assert stand.eventually_has("work_mem", "7MB")
    undone = stand.apply(stand.planned_reverse(plan))
    assert [one.setting for one in undone.of("refused")] == ["work_mem"]
    assert (stand.value("work_mem"), stand.value("jit")) == ("7MB", "on")


@pytest.mark.parametrize("target", ["ROLE pgops_tuner", "DATABASE postgres", "ROLE ALL"])
def test_an_override_of_a_role_or_database_wins_and_is_said(stand: Stand, target):
    try:
        stand.execute(f"ALTER {target} SET work_mem = '3MB'")
        plan = stand.planned("work_mem")
        reviewed = stand.look()
        if target != "ROLE pgops_tuner":
            assert any("has 3MB" in one for one in verdict(reviewed, "work_mem").overrides)
        applied = stand.apply(plan)
        assert applied.whole and "an override wins" in applied.outcomes[0].says and "3MB" in applied.outcomes[0].says
        assert verdict(stand.look(), "work_mem").grade == "ok", "the server's own value is judged, not the session's"
    finally:
        stand.execute("ALTER DATABASE postgres RESET ALL")


@contextmanager
def broken_file(stand: Stand, line: str):
    """A file that the configuration includes, with a mistake in it."""
    conf = Path(stand.server.data / "postgresql.conf")
    text = conf.read_text(encoding="utf-8")
    conf.write_text(f"{text}\n{line}\n", encoding="utf-8")
    try:
        yield
    finally:
        conf.write_text(text, encoding="utf-8")


MISTAKES = ["no_such_setting = on", "work_mem = = 4", "jit = 'perhaps'"]


@pytest.mark.parametrize("line", MISTAKES)
def test_an_error_in_the_files_is_found_before_anything_is_written(stand: Stand, line):
    plan = stand.planned("random_page_cost")
    with broken_file(stand, line):
        applied = stand.apply(plan)
        reviewed = stand.look()
    (refused,) = applied.of("refused")
    assert "postgresql.conf:" in refused.says and "a reload takes nothing" in refused.says
    assert stand.auto_conf() == []
    assert any("postgresql.conf:" in note for note in reviewed.notes) and not reviewed.plan.changes


@pytest.mark.parametrize("line", MISTAKES)
@pytest.mark.parametrize("step", ["_refuse_unloadable", "_reload"])
def test_an_error_that_comes_between_is_found_and_the_change_is_taken_back(stand: Stand, monkeypatch, line, step):
    """Somebody edits the file after the look, and before or after the last one."""
    monkeypatch.setattr(module, "VERIFY_SECONDS", 1.0)
    plan = stand.planned("random_page_cost", "jit")
    original, conf = getattr(module, step), Path(stand.server.data / "postgresql.conf")
    text = conf.read_text(encoding="utf-8")

    def edited(connection, *more):
        conf.write_text(f"{text}\n{line}\n", encoding="utf-8")
        return original(connection, *more)

    monkeypatch.setattr(module, step, edited)
    try:
        applied = stand.apply(plan)
    finally:
        conf.write_text(text, encoding="utf-8")
    if line == "jit = 'perhaps'" and step == "_reload":  # one bad value, and the server takes the rest
        assert applied.outcomes[0].state == "applied"
        return
    first, second = applied.outcomes
    assert (first.state, second.state) == ("failed", "not applied")
    assert "postgresql.conf:" in first.says and "taken back" in first.says
    assert stand.auto_conf() == [] and stand.value("random_page_cost") == "4"


@pytest.mark.parametrize("grant", ["ALTER SYSTEM ON PARAMETER work_mem", "EXECUTE ON FUNCTION pg_reload_conf()"])
def test_a_missing_privilege_is_known_before_and_refused_when_it_was_lost(stand: Stand, grant):
    plan = stand.planned("work_mem")
    stand.execute(f"REVOKE {grant} FROM pgops_tuner")
    try:
        one = verdict(stand.look(), "work_mem")
        assert "no privilege: GRANT" in one.why_not and one.action == "none"
        if "PARAMETER" in grant:
            (refused,) = stand.apply(plan).of("refused")
            assert "no privilege" in refused.says
        else:
            with pytest.raises(Refused, match="may not reload"):
                stand.apply(plan)
            assert stand.states(plan) == {} and stand.auto_conf() == []
    finally:
        stand.execute(f"GRANT {grant} TO pgops_tuner")
    if "FUNCTION" in grant:
        assert stand.apply(plan).whole


def test_files_that_may_not_be_read_are_said_and_nothing_is_planned(stand: Stand):
    stand.execute("REVOKE SELECT ON pg_file_settings FROM pgops_tuner")
    try:
        reviewed = stand.look()
    finally:
        stand.execute("GRANT SELECT ON pg_file_settings TO pgops_tuner")
    assert not reviewed.plan.changes and any("tuner.sql" in note for note in reviewed.notes)
    assert verdict(reviewed, "random_page_cost").wanted == "1.1"


def test_a_server_without_alter_system_is_left_alone(stand: Stand):
    facts = stand.facts()
    closed = replace(facts, server=replace(facts.server, alter_system=False))
    from pgops.tuning.judge import verdicts

    assert "allow_alter_system" in verdict(verdicts(closed), "work_mem").why_not


def test_another_server_behind_the_same_address_is_refused(stand: Stand):
    plan = replace(stand.planned("work_mem"), identifier="1")
    with pytest.raises(Refused, match="another one than that of the plan"):
        stand.apply(plan)
    assert stand.auto_conf() == []


def test_a_server_that_is_down_can_be_tried_again(stand: Stand):
    plan = stand.planned("work_mem")
    with pytest.raises(PgOpsError) as raised:
        stand.apply(plan, replace(stand.dsn, port=1))
    assert raised.value.retry
    assert stand.apply(plan).whole


# --- killed ---


def killed(stand: Stand, plan: str, before: str) -> None:
    given = {"dsn": dsn_facts(stand.dsn), "ledger": dsn_facts(stand.ledger.dsn), "plan": plan, "before": before}
    done = subprocess.run(
        [sys.executable, "-m", "tests.tuning.killed_apply"],
        input=json.dumps(given), text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": "plugins:."}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 9


STEPS = ["_write", "_refuse_unloadable", "_reload", "_verify", "recorded"]


@pytest.mark.parametrize("before", STEPS)
def test_killed_at_any_step_the_second_run_finishes(stand: Stand, before):
    plan = stand.planned("work_mem", "jit")
    killed(stand, plan.id, before)
    assert "applying" in stand.states(plan).values()
    if before != "_write":
        assert stand.auto_conf() != []
    applied = stand.apply(plan)
    assert applied.whole and set(stand.states(plan).values()) == {"applied"}
    assert stand.value("jit") == "off"
    assert stand.apply(stand.planned_reverse(plan)).whole
    assert stand.auto_conf() == []


@pytest.mark.parametrize("before", STEPS)
def test_killed_and_never_tried_again_the_next_review_names_it_and_it_can_be_taken_back(stand: Stand, before):
    plan = stand.planned("jit")
    killed(stand, plan.id, before)
    (named,) = stand.look().unfinished
    assert plan.id in named and "jit" in named and "reverse" in named
    assert stand.apply(stand.planned_reverse(plan)).whole
    assert stand.auto_conf() == [] and stand.value("jit") == "on"
    assert stand.states(plan) == {"jit": "reversed"} and stand.look().unfinished == ()


def test_a_try_after_somebody_elses_change_does_not_write_over_it(stand: Stand):
    plan = stand.planned("work_mem")
    killed(stand, plan.id, "_reload")
    stand.execute("ALTER SYSTEM SET work_mem = '7MB'", "SELECT pg_reload_conf()")
    (refused,) = stand.apply(plan).of("refused")
    assert "changed since it was planned" in refused.says
    assert stand.eventually_has("work_mem", "7MB")
