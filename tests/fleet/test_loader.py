"""A fleet file says exactly what is wrong with it, and one bad entry fails one database."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgops.errors import Refused
from pgops.fleet import Fleet, load_fleet

GOOD: dict[str, Any] = {
    "timezone": "Europe/Berlin",
    "storage": {"connection": "aws_backups", "bucket": "pgops-backups", "prefix": "/postgres/"},
    "ledger": {"connection": "pgops_ledger"},
    "slack": {"connection": "slack_default", "channel": "#ops"},
    "schedules": {"nightly_backup": "0 2 * * *"},
    "defaults": {"backup": {"level": 5, "retention": {"keep_last": 3}}, "drill": {"connection": "pg_drill"}},
    "servers": [{"name": "primary", "pool": "pg_primary"}],
    "databases": [
        {"name": "app", "server": "primary", "connection": "pg_app", "backup": {"retention": {"keep_days": 2}}},
        {"name": "crm", "server": "primary", "connection": "pg_crm"},
    ],
}


def load(tmp_path: Path, document: Any) -> Fleet:
    file = tmp_path / "fleet.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return load_fleet(file)


def changed(*path: Any, to: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    place: Any = document
    for step in path[:-1]:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    place[path[-1]] = to
    return document


def refusal(fleet: Fleet, database: str = "app") -> Refused:
    with pytest.raises(Refused) as caught:
        fleet.database(database)
    return caught.value


def test_a_good_file_is_read_with_its_defaults_merged_key_by_key(tmp_path):
    fleet = load(tmp_path, GOOD)
    assert fleet.problems == ()
    app = fleet.database("app")
    assert (app.backup.level, app.backup.retention.keep_last, app.backup.retention.keep_days) == (5, 3, 2)
    assert fleet.database("crm").backup.retention.keep_days == 7
    assert fleet.checked_settings().storage.prefix == "postgres"
    assert fleet.on_server("primary") == ["app", "crm"]
    assert fleet.pool("primary") == "pg_primary"
    assert (fleet.schedule("nightly_backup", "x"), fleet.timezone) == ("0 2 * * *", "Europe/Berlin")


def test_the_file_of_the_repository_is_good():
    assert load_fleet(Path(__file__).parents[2] / "include" / "fleet.yaml").problems == ()


# path to change, value, then what the error must name: key, fact, remedy
BAD_ENTRIES = {
    "typo": (("backup", "compresion"), "zstd", "backup.compresion", "no key 'compresion'", "'compression'"),
    "typo in the entry": (("conection",), "x", "conection", "no key 'conection'", "'connection'"),
    "typo far below": (("backup", "retention", "keep_dayz"), 1, "retention.keep_dayz", "'keep_dayz'", "'keep_days'"),
    "nothing like it": (("backup", "zzz"), 1, "backup.zzz", "no key 'zzz'", "retention"),
    "unknown server": (("server",), "secondary", ".server", "no server 'secondary'", "servers"),
    "unknown compression": (("backup", "compression"), "brotli", "backup.compression", "'brotli'", "Correct"),
    "retention below zero": (("backup", "retention", "keep_days"), -1, "keep_days", "-1", "Correct"),
    "retention of nothing": (("backup", "retention", "keep_last"), 0, "keep_last", "0", "Correct"),
    "retention in words": (("backup", "retention", "keep_weekly"), "many", "keep_weekly", "'many'", "Correct"),
    "retention as a number": (("backup", "retention"), 7, "backup.retention", "7", "Correct"),
    "a level too high": (("backup", "level"), 40, "backup.level", "40", "Correct"),
    "gzip's level too high": (("backup",), {"compression": "gzip", "level": 12}, "backup", "gzip knows", "Correct"),
    "standby without one": (("backup", "prefer_standby"), True, "databases[0]", "standby_connection", "Correct"),
    "a relative folder": (("backup", "local_copy"), {"directory": "b"}, "local_copy.directory", "absolute", "Correct"),
    "a name for a path": (("name",), "../etc", "name", "'../etc'", "Correct"),
    "an RPO of nothing": (("backup", "rpo_hours"), 0, "rpo_hours", "0", "Correct"),
    "a canary without answer": (("drill", "canaries"), [{"name": "n", "sql": "s"}], "expect", "missing", "Add it"),
}


@pytest.mark.parametrize(("path", "value", "key", "fact", "remedy"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_is_refused_with_file_key_and_remedy_and_fails_alone(tmp_path, path, value, key, fact, remedy):
    fleet = load(tmp_path, changed("databases", 0, *path, to=value))
    name = value if path == ("name",) else "app"
    error = refusal(fleet, name)
    assert str(tmp_path / "fleet.yaml") in error.where
    assert key in error.where
    assert fact in error.what
    assert remedy in error.remedy
    assert fleet.database("crm").connection == "pg_crm"
    assert [name for name, _ in fleet.names] == [name, "crm"]  # it is still a task at night, and fails there


def test_two_entries_of_one_name_are_both_refused_and_the_others_are_not(tmp_path):
    document = copy.deepcopy(GOOD)
    document["databases"].append({"name": "app", "server": "primary", "connection": "pg_other"})
    fleet = load(tmp_path, document)
    assert "Two entries are named 'app'" in refusal(fleet).what
    assert fleet.database("crm")


WHOLE_FILE = {
    "time zone": (("timezone",), "Berlin", "timezone"),
    "bucket": (("storage", "bucket"), "x", "storage.bucket"),
    "no ledger": (("ledger",), None, "ledger"),
    "unknown key": (("storages",), {}, "storages"),
    "servers twice": (("servers",), [{"name": "primary"}, {"name": "primary"}], "servers"),
    "servers missing": (("servers",), [], "servers"),
    "databases missing": (("databases",), None, "databases"),
    "databases no list": (("databases",), {"app": {}}, "databases"),
    "default level": (("defaults", "backup", "level"), 99, "defaults.backup.level"),
    "unknown default": (("defaults", "restore"), {}, "defaults.restore"),
    "unknown default of drills": (("defaults", "drill", "job"), 3, "defaults.drill.job"),
    "defaults no mapping": (("defaults",), [1], "defaults"),
    "default drill no mapping": (("defaults", "drill"), 5, "defaults.drill"),
    "default drill a word": (("defaults", "drill"), "pg_drill", "defaults.drill"),
    "keys of two kinds": (("defaults",), {1: 2, "x": 3}, "defaults."),
}


@pytest.mark.parametrize(("path", "value", "key"), WHOLE_FILE.values(), ids=WHOLE_FILE)
def test_what_concerns_the_whole_file_is_refused_with_file_and_key(tmp_path, path, value, key):
    fleet = load(tmp_path, changed(*path, to=value))
    with pytest.raises(Refused) as caught:
        fleet.checked_settings()
    assert str(tmp_path / "fleet.yaml") in caught.value.where
    assert key in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(("typo", "meant"), [("database", "databases"), ("default", "defaults"), ("slak", "slack")])
def test_a_mistyped_section_is_told_what_was_meant(tmp_path, typo, meant):
    with pytest.raises(Refused) as caught:
        load(tmp_path, changed(typo, to=[])).checked_settings()
    assert caught.value.remedy == f"Did you mean {meant!r}?"


UNREADABLE = {
    "not YAML": "databases: [",
    "a tab": "storage:\n\tbucket: x\n",
    "not a mapping": "- app\n- crm\n",
    "empty": "",
    "an impossible date": "timezone: 2026-13-45\n",
    "control characters": "timezone: \x01\n",
    "nested without end": "[" * 5000,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_loads_as_a_fleet_without_databases(tmp_path, text):
    fleet = load(tmp_path, text)
    assert (fleet.databases, fleet.names) == ((), ())
    with pytest.raises(Refused) as caught:
        fleet.checked_settings()
    assert str(tmp_path / "fleet.yaml") in caught.value.where


def test_a_missing_file_and_one_that_is_not_text_load_too(tmp_path):
    assert "cannot be read" in load_fleet(tmp_path / "nowhere.yaml").problems[0].what
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\xc3\x28")
    assert "not YAML" in load_fleet(tmp_path / "binary.yaml").problems[0].what
    assert load_fleet(tmp_path).problems  # a folder


def test_an_unknown_database_is_refused_with_the_names_there_are(tmp_path):
    assert "app, crm" in refusal(load(tmp_path, GOOD), "nothing").remedy


def test_no_document_makes_the_loader_raise(tmp_path):
    """A DAG file that raises while it is parsed vanishes from Airflow."""
    random_ = random.Random(7)
    strange = [None, 0, -1, 1.5, True, "", "x", [], {}, [1], {"a": 1}, {1: 2, "b": 3}, [[]], "2026-01-01"]
    for _ in range(200):
        document = copy.deepcopy(GOOD)
        for _ in range(random_.randint(1, 3)):
            _spoil(document, random_, strange)
        fleet = load(tmp_path, document)
        for name, server in fleet.names:
            assert isinstance(name, str)
            fleet.pool(server)
        if fleet.problems:
            assert all(problem.refusal().remedy for problem in fleet.problems)


def _spoil(node: Any, random_: random.Random, strange: list[Any]) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = random_.choice(keys)
    if isinstance(node[key], dict | list) and random_.random() < 0.7:
        _spoil(node[key], random_, strange)
    else:
        node[key] = copy.deepcopy(random_.choice(strange))


def test_a_database_with_a_bad_policy_is_among_those_that_have_one_and_fails_by_itself(tmp_path):
    document = changed("databases", 0, "queries", to={"connection": "pg_app_monitor", "plan": 1})
    fleet = load(tmp_path, document)
    assert fleet.databases_with("queries") == ["app"] and fleet.databases_with("health") == ["app"]
    assert "'plan'" in str(refusal(fleet))
