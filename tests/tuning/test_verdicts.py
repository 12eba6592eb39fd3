"""Every setting of the source document has a verdict, and what is advised can be applied whole."""

from __future__ import annotations

import pytest

from pgops.tuning import values
from pgops.tuning.judge import verdicts
from pgops.tuning.model import Grade
from pgops.tuning.rules import RULES
from pgops.tuning.table import lines
from tests.tuning.reviews import GB, Stand, verdict

# The document's postgresql.conf, line by line.
DOCUMENT = {
    "shared_buffers": "8GB", "effective_cache_size": "24GB", "work_mem": "64MB", "maintenance_work_mem": "2GB",
    "wal_buffers": "16MB", "checkpoint_completion_target": "0.9", "checkpoint_timeout": "15min",
    "max_wal_size": "4GB", "min_wal_size": "1GB", "default_statistics_target": "100", "random_page_cost": "1.1",
    "effective_io_concurrency": "200", "max_connections": "200", "superuser_reserved_connections": "3",
    "log_min_duration_statement": "1000", "log_checkpoints": "on", "log_connections": "on",
    "log_disconnections": "on", "log_lock_waits": "on", "log_autovacuum_min_duration": "0", "autovacuum": "on",
    "autovacuum_max_workers": "4", "autovacuum_naptime": "30s", "autovacuum_vacuum_threshold": "50",
    "autovacuum_vacuum_scale_factor": "0.1", "autovacuum_analyze_threshold": "50",
    "autovacuum_analyze_scale_factor": "0.05", "wal_level": "replica", "max_wal_senders": "10",
    "wal_keep_size": "10GB", "hot_standby": "on",
}  # fmt: skip
MACHINES = {
    "the document's": {"memory": 32 * GB, "cpus": 8, "connections": 150},
    "small": {"memory": 1 * GB, "cpus": 1, "disk": 10 * GB, "connections": 20, "workload": "web"},
    "a warehouse": {"memory": 256 * GB, "cpus": 64, "disk": 4000 * GB, "connections": 40, "workload": "dw"},
    "spinning": {"memory": 8 * GB, "cpus": 4, "disk_kind": "hdd", "connections": 300, "workload": "mixed"},
}


def test_every_setting_of_the_document_has_a_verdict(stand: Stand):
    found = verdicts(stand.facts(**MACHINES["the document's"]))
    of_document = [one for one in found if one.document]
    print(f"\nPostgreSQL {stand.major}")
    print("\n".join(lines(of_document)))
    assert {one.setting: one.document for one in of_document} == DOCUMENT
    assert all(one.formula and one.reason and one.source.startswith("https://") for one in found)


@pytest.mark.parametrize("name", MACHINES)
def test_a_plan_breaks_nothing_and_a_second_review_has_nothing_to_add(stand: Stand, name: str):
    plan = stand.planned(**MACHINES[name])
    assert plan.changes
    applied = stand.apply(plan)
    assert applied.whole, applied
    again = stand.look(**MACHINES[name])
    assert again.plan.changes == () and not again.of(Grade.DANGEROUS)


@pytest.mark.parametrize("name", MACHINES)
def test_the_document_is_kept_where_it_is_right(stand: Stand, name: str):
    """Its scale factors, costs and log settings are good anywhere; its memory is not."""
    facts = stand.facts(**MACHINES[name])
    reloadable = [one for one in DOCUMENT if not facts.settings[one].restart]
    asked = facts.with_values({one: DOCUMENT[one] for one in reloadable})
    found = {one.setting: one for one in verdicts(asked)}
    for one in ("checkpoint_timeout", "log_lock_waits", "autovacuum_vacuum_scale_factor", "autovacuum_naptime"):
        assert found[one].grade is Grade.OK, one
    if name == "small":
        assert found["effective_cache_size"].grade is Grade.ADVICE
        assert found["work_mem"].grade is Grade.DANGEROUS, "150 sessions with 64MB each are more than the machine has"


def test_versions_differ_in_what_they_have(stand: Stand):
    found = {one.setting for one in verdicts(stand.facts())}
    assert ("io_method" in found) == (stand.major >= 18)
    assert found <= {rule.setting for rule in RULES}
    assert len({rule.setting for rule in RULES}) == len(RULES)


def test_what_the_fleet_file_means_is_never_advised_against(stand: Stand):
    meant = {"random_page_cost": ("4", "a tape library"), "work_mem": ("8MB", "so measured"), "fsync": ("on", "yes")}
    reviewed = stand.look(deliberate=meant)
    kept, wanted = verdict(reviewed, "random_page_cost"), verdict(reviewed, "work_mem")
    assert (kept.grade, kept.says, kept.wanted) == (Grade.DELIBERATE, "a tape library", "")
    assert (wanted.grade, wanted.wanted) == (Grade.ADVICE, "8MB") and "so measured" in wanted.says


def test_what_is_dangerous_and_meant_is_said_once_more(stand: Stand):
    stand.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    assert stand.eventually_has("fsync", "off")
    assert verdict(stand.look(), "fsync").grade is Grade.DANGEROUS
    meant = verdict(stand.look(deliberate={"fsync": ("off", "rebuilt every night")}), "fsync")
    assert meant.grade is Grade.DELIBERATE and "rebuilt" in meant.says and "destroy" in meant.says


def test_a_review_is_kept_with_its_report(stand: Stand):
    reviewed = stand.look()
    assert reviewed.page is not None
    page = stand.bucket.open([reviewed.page]).read().decode()
    assert "<h1>Configuration of " in page and "effective_cache_size" in page and "ALTER SYSTEM SET" in page
    row = _reviews(stand)[-1]
    assert row["counts"] == dict(reviewed.counts) and row["report"] == reviewed.page
    assert len(row["verdicts"]) == len(reviewed.verdicts)


def _reviews(stand: Stand):
    with stand.ledger.session() as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT counts, verdicts, report FROM pgops.config_reviews WHERE server = %s ORDER BY at", [stand.name]
        )
        return [dict(zip(("counts", "verdicts", "report"), row, strict=True)) for row in cursor.fetchall()]


# --- units ---


@pytest.mark.parametrize(
    ("written", "unit", "amount"),
    [
        ("8GB", "8kB", 8 * GB), ("1048576", "8kB", 8 * GB), ("4096", "kB", 4096 * 1024), ("512kB", "MB", 512 * 1024),
        ("-1", "kB", -1), ("0", "ms", 0), ("1000", "ms", 1), ("1.5min", "ms", 90), ("15min", "s", 900),
        ("0.9", "", 0.9), ("1e-2", "", 0.01), ("8gb", "8kB", None), ("8GB", "ms", None), ("many", "", None),
        ("10s", "kB", None),
    ],
)  # fmt: skip
def test_a_value_is_counted_in_its_unit(written, unit, amount):
    assert values.number(written, unit) == amount


def test_the_server_agrees_with_every_value_that_is_advised(stand: Stand):
    """What a review writes and what the server then counts are the same, for each unit that there is."""
    plan = stand.planned()
    stand.apply(plan)
    rows = stand.execute("SELECT name, setting FROM pg_settings")
    now = {str(name): str(setting) for name, setting in rows}
    for change in plan.changes:
        assert values.same(now[change.setting], change.value or "", change.vartype, change.unit), change
