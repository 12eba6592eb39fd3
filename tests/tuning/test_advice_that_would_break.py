"""The server accepts 900GB of shared_buffers without a word. The review does not, and never writes it into a script."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgops.errors import Refused
from pgops.tuning.clashes import clashes
from pgops.tuning.facts import read_facts
from pgops.tuning.judge import invalid_value, verdicts
from pgops.tuning.model import Follower, Grade
from tests.tuning.reviews import GB, Stand, verdict


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("shared_buffers", "900GB", "leave nothing"),
        ("max_connections", "100000", "more than the machine's"),
        ("max_connections", "3", "all connections are reserved"),
        ("wal_level", "minimal", "the server does not start"),
        ("shared_preload_libraries", "pg_stat_statements, nope", "library nope"),
        ("work_mem", "15GB", "more than the machine's"),
        ("max_wal_size", "190GB", "may fill it"),
        ("min_wal_size", "1MB", "outside of"),
        ("min_wal_size", "100GB", "min_wal_size is above max_wal_size"),
        ("wal_compression", "brotli", "this build knows"),
        ("random_page_cost", "-3", "outside of"),
        ("checkpoint_timeout", "15 minutes", "is no number of s"),
        ("autovacuum_max_workers", "0", "outside of"),
        ("jit", "maybe", "neither on nor off"),
        ("synchronous_standby_names", "*", "every commit hangs"),
        ("wal_segment_size", "1GB", "cannot be changed"),
        ("autovacuum", "off", "transaction ids run out"),
    ],
)
def test_what_the_fleet_file_asks_for_is_left_out_of_every_script_when_it_would_break(
    stand: Stand, setting: str, value: str, why: str
):
    reviewed = stand.look(deliberate={setting: (value, "somebody's idea")})
    one = verdict(reviewed, setting)
    assert why in one.why_not and one.action == "none", one
    for text in (reviewed.plan.forward, reviewed.plan.ticket):
        assert f"SET {setting} " not in text
    with pytest.raises(Refused, match=setting):
        stand.look((setting,), deliberate={setting: (value, "somebody's idea")})


def test_what_makes_worse_what_is_broken_already_is_left_out_too(stand: Stand):
    """The sum of memory is over the machine's already, and over the WAL's volume: that excuses nothing more."""
    small = {"memory": GB // 2, "wal_disk": GB}
    for setting, value in (("work_mem", "1GB"), ("maintenance_work_mem", "256MB"), ("wal_keep_size", "400MB")):
        reviewed = stand.look(deliberate={setting: (value, "somebody's idea")}, **small)
        assert "would break" in verdict(reviewed, setting).why_not and f"SET {setting} " not in reviewed.plan.forward


def test_a_compression_that_the_build_lacks_is_not_advised(stand: Stand):
    one = verdict(stand.look(), "wal_compression")
    known = stand.facts().settings["wal_compression"].enumvals
    assert one.wanted in known and ("lz4" in known or one.wanted == "pglz")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("shared_buffers", "900GB"), ("max_connections", "100000"), ("shared_preload_libraries", "nope")],
)
def test_what_the_next_start_would_break_on_is_dangerous_and_its_way_back_is_a_ticket(stand: Stand, setting, value):
    before = stand.value(setting)
    stand.execute(f"ALTER SYSTEM SET {setting} = '{value}'", "SELECT pg_reload_conf()")
    reviewed = stand.look()
    one = verdict(reviewed, setting)
    assert one.grade is Grade.DANGEROUS and "the next start takes" in one.says
    assert setting not in [change.setting for change in reviewed.plan.changes]
    if before:
        assert f"ALTER SYSTEM SET {setting} = '{before}'" in reviewed.plan.ticket


def test_a_standby_without_its_primarys_connections_is_no_standby_for_long(stand: Stand):
    facts = replace(stand.facts(), followers=(Follower("standby", {"max_connections": "50"}),))
    assert [one.settings[0] for one in clashes(facts)] == ["max_connections"]
    assert verdict(verdicts(facts), "max_connections").grade is Grade.DANGEROUS


def test_a_standby_that_cannot_be_asked_is_said(stand: Stand):
    reviewed = stand.look(standbys={"far": replace(stand.dsn, port=1), "itself": stand.dsn})
    assert any("far is not compared" in note for note in reviewed.notes)
    assert any("itself is not compared: it is not in recovery" in note for note in reviewed.notes)


def test_a_setting_from_the_command_line_is_not_in_the_script(stand: Stand):
    facts = stand.facts()
    forced = replace(facts.settings["work_mem"], source="command line", value="64")
    one = verdict(verdicts(replace(facts, settings={**facts.settings, "work_mem": forced})), "work_mem")
    assert one.wanted and "command line" in one.why_not and one.action == "none"


def test_a_managed_server_gets_parameters_and_no_script(stand: Stand):
    for managed, later in (("rds", "pending-reboot"), ("cloudsql", "restarts the instance"), ("azure", "static")):
        reviewed = stand.look(managed=managed, memory=64 * GB, connections=400)
        found = {one["name"]: one for one in reviewed.plan.parameters}
        assert reviewed.plan.forward == reviewed.plan.ticket == "" and not reviewed.plan.changes
        assert found["effective_cache_size"]["value"] == str(48 * GB // 8192), "counted in blocks, as the service wants"
        assert found["max_connections"]["apply"] == later and found["work_mem"]["apply"] != later
        assert "fsync" not in found
        assert found["jit"]["value"] == ("0" if managed == "rds" else "off")


def test_what_no_reload_can_change_cannot_be_asked_for(stand: Stand):
    with pytest.raises(Refused, match="it needs a restart"):
        stand.look(("max_connections",), memory=64 * GB, connections=400)
    with pytest.raises(Refused, match="no rule speaks of it"):
        stand.look(("search_path",))
    with pytest.raises(Refused, match="there is nothing to change"):
        stand.look(("hot_standby",))


def test_every_advised_value_is_valid_on_this_build(stand: Stand):
    facts = stand.facts(memory=200 * GB, cpus=96, disk=9000 * GB, workload="dw", connections=900)
    found = [one for one in verdicts(facts) if one.wanted and not one.why_not]
    assert found
    for one in found:
        assert invalid_value(facts.settings[one.setting], None if one.wanted == "RESET" else one.wanted) == "", one


def test_what_a_file_says_is_written_over_where_a_reset_would_change_nothing(stand: Stand):
    """RESET takes a line out of postgresql.auto.conf only."""
    stand.execute("GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO pgops_tuner")
    conf = Path(stand.server.data / "postgresql.conf")
    text = conf.read_text(encoding="utf-8")
    conf.write_text(f"{text}\nsynchronous_standby_names = '*'\n", encoding="utf-8")
    try:
        stand.execute("SELECT pg_reload_conf()")
        assert stand.eventually_has("synchronous_standby_names", "*")
        assert verdict(stand.look(), "synchronous_standby_names").grade is Grade.DANGEROUS
        plan = stand.planned("synchronous_standby_names")
        assert "SET synchronous_standby_names = ''" in plan.forward
        assert stand.apply(plan).whole and stand.value("synchronous_standby_names") == ""
    finally:
        conf.write_text(text, encoding="utf-8")
        stand.execute("REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM pgops_tuner")

    stand.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    assert stand.eventually_has("synchronous_standby_names", "*")
    assert verdict(stand.look(), "synchronous_standby_names").wanted == "RESET"


def test_a_role_that_does_not_see_all_settings_is_refused(stand: Stand):
    stand.execute("CREATE ROLE blind LOGIN PASSWORD 'blind'")
    try:
        with pytest.raises(Refused, match="does not see all settings"):
            read_facts(replace(stand.dsn, user="blind", password="blind"), stand.machine, {})
    finally:
        stand.execute("DROP ROLE blind")


def test_a_misspelled_setting_of_the_fleet_file_is_said(stand: Stand):
    reviewed = stand.look(deliberate={"wrok_mem": ("8MB", "typo")})
    assert any("wrok_mem" in note for note in reviewed.notes)
