"""A folder's migrations are found in their order, or the folder is refused with one clear reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgops.errors import Refused
from pgops.migration.scripts.sources import chosen, migrations_in

HOUSE = Path(__file__).parents[2] / "include" / "migrations"


def write(folder: Path, *names: str, text: str = "SELECT 1;\n") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"-- {name}\n{text}")
    return folder


def refusal(folder: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        migrations_in(folder)
    assert str(folder) in caught.value.where
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("up", "down", "version", "name"),
    [
        ("V001__add_phone.sql", "V001__add_phone.rollback.sql", "001", "add phone"),
        ("V1.2__add_phone.sql", "U1.2__add_phone.sql", "1.2", "add phone"),
        ("V1_2__add_phone.sql", "U1.2__take_it_back.sql", "1_2", "add phone"),
        ("V7__a.up.sql", "V7__a.down.sql", "7", "a"),
        ("000012_add_phone.up.sql", "000012_add_phone.down.sql", "000012", "add phone"),
        ("20260215_add_phone/up.sql", "20260215_add_phone/down.sql", "20260215", "add phone"),
        (
            "2026-02-15-120000_add_phone/up.sql",
            "2026-02-15-120000_add_phone/down.sql",
            "2026-02-15-120000",
            "add phone",
        ),
    ],
)
def test_the_usual_names_of_a_pair_are_understood(tmp_path: Path, up: str, down: str, version: str, name: str) -> None:
    [migration] = migrations_in(write(tmp_path, up, down))
    assert (migration.version, migration.name) == (version, name)
    assert migration.up.name == up and migration.up.text.startswith(f"-- {up}")
    assert migration.down is not None and migration.down.text.startswith(f"-- {down}")


def test_versions_are_numbers_and_not_words(tmp_path: Path) -> None:
    write(tmp_path, "V10__j.sql", "V9__i.sql", "V1.10__c.sql", "V1.9__b.sql", "V1__a.sql", "002_d.up.sql", "3_e/up.sql")
    assert [one.version for one in migrations_in(tmp_path)] == ["1", "1.9", "1.10", "002", "3", "9", "10"]


def test_a_migration_may_lack_its_rollback_and_other_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "V1__a.sql", "README.md", ".V2__editor.sql", "notes/thoughts.txt")
    [migration] = migrations_in(tmp_path)
    assert migration.down is None


def test_text_is_kept_as_it_is_but_for_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "V1__a.sql").write_bytes(b"\xef\xbb\xbfSELECT 'caf\xc3\xa9';\r\n")
    assert migrations_in(tmp_path)[0].up.text == "SELECT 'café';\r\n"


def test_a_changed_rollback_changes_the_checksum(tmp_path: Path) -> None:
    write(tmp_path, "V1__a.sql", "V1__a.rollback.sql")
    before = migrations_in(tmp_path)[0].checksum
    assert migrations_in(tmp_path)[0].checksum == before
    write(tmp_path, "V1__a.rollback.sql", text="SELECT 2;\n")
    assert migrations_in(tmp_path)[0].checksum != before


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("V1__a.sql", "V001__b.sql"), "same version"),
        (("V1__a.sql", "1_b.up.sql"), "same version"),
        (("V1__a.sql", "V1.0__b.sql"), "same version"),
        (("V1__a.sql", "V1__a.rollback.sql", "U1__a.sql"), "same version"),
        (("V1__a.sql", "V2__b.rollback.sql"), "takes back a migration that is not there"),
        (("V1__a.sql", "2_b/down.sql"), "takes back a migration that is not there"),
        (("V1__a.sql", "R__views.sql"), "'R__views.sql' is not named as a migration"),
        (("V1__a.sql", "V__b.sql"), "is not named as a migration"),
        (("V1__a.sql", "V2__B.SQL"), "is not named as a migration"),
        (("V1__a.sql", "2_b/more.sql"), "'2_b/more.sql' is not named as a migration"),
        (("V1__a.sql", "b/up.sql"), "'b/up.sql' is not named as a migration"),
        (("README.md",), "no migrations in the folder"),
    ],
)
def test_a_folder_in_disorder_is_refused(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    assert says in refusal(write(tmp_path, *names)).what


@pytest.mark.parametrize(
    ("contents", "says"),
    [(b"", "is empty"), (b" \n\t\n", "is empty"), (b"SELECT '\xff';", "not UTF-8: byte 8")],
)
def test_a_file_that_holds_no_text_is_refused(tmp_path: Path, contents: bytes, says: str) -> None:
    write(tmp_path, "V1__a.sql")
    (tmp_path / "V1__a.rollback.sql").write_bytes(contents)
    error = refusal(tmp_path)
    assert says in error.what
    assert error.where.endswith("V1__a.rollback.sql")


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "inside", "V1__a.sql")
    (folder / "V2__b.sql").symlink_to(folder / "V1__a.sql")
    assert len(migrations_in(folder)) == 2
    write(tmp_path / "outside", "secret.sql", "3_c/up.sql")
    (folder / "V2__b.sql").unlink()
    (folder / "V2__b.sql").symlink_to(tmp_path / "outside" / "secret.sql")
    assert "link out of the folder" in refusal(folder).what
    (folder / "V2__b.sql").unlink()
    (folder / "3_c").symlink_to(tmp_path / "outside" / "3_c")
    assert "link out of the folder" in refusal(folder).what


def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "V1__a.sql")
    assert "not a file" in refusal(tmp_path).what


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere").what


@pytest.mark.parametrize("version", ["../001", "1", "001 ", "V001", "", "001; DROP TABLE users", "/etc/passwd"])
def test_a_version_is_only_compared_and_an_unknown_one_lists_the_known(version: str) -> None:
    migrations = migrations_in(HOUSE / "app")
    assert chosen(migrations, "001") is migrations[0]
    with pytest.raises(Refused) as caught:
        chosen(migrations, version)
    assert "known: 001, 002" in caught.value.what
