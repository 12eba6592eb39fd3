"""A check's file says everything, or is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgops.errors import PgOpsError
from pgops.health import checks

WHOLE = """\
-- Title: A title
-- Purpose: what it is for,
--          in two lines.
-- Scope: instance
-- Kind: state
-- Versions: 15-16
-- Privileges: none
-- Cost: cheap
-- Warn: > 5 min
-- Crit: > 1 h
-- Source: a page
-- Mend: do it
-- Risk: none
-- Note: of the query
SELECT '' AS object, 1 AS value, '' AS says, '' AS mend;
"""
FROM_ONE = WHOLE.replace("-- Note:", "-- From: one\n-- Note:")


def written(folder: Path, text: str, name: str = "one.sql") -> Path:
    (folder / name).write_text(text)
    return folder


def test_a_whole_file_is_a_check(tmp_path: Path) -> None:
    (check,) = checks(written(tmp_path, WHOLE))
    assert (check.name, check.title, check.purpose) == ("one", "A title", "what it is for, in two lines.")
    assert check.warn is not None and check.warn.limit == 300 and check.dimension == "seconds"
    assert check.query(16) == "SELECT '' AS object, 1 AS value, '' AS says, '' AS mend"
    assert check.query(17) is None


@pytest.mark.parametrize("name", ["Title", "Scope", "Kind", "Versions", "Privileges", "Cost", "Source", "Mend", "Risk"])
def test_a_missing_header_line_is_named(name: str, tmp_path: Path) -> None:
    lines = [line for line in WHOLE.splitlines() if not line.startswith(f"-- {name}:")]
    with pytest.raises(PgOpsError, match=f"'{name}' is missing.*one.sql:1"):
        checks(written(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("line", "instead", "what"),
    [
        ("-- Risk: none", "-- Risks: none", "'Risks' is not known .*one.sql:13"),
        ("-- Risk: none", "-- Risk:", "'Risk' is missing or empty .*one.sql:13"),
        ("-- Note: of the query", "-- Mend: again", "'Mend' is there twice .*one.sql:14"),
        ("-- Note: of the query", "-- a remark", "not a header line .*one.sql:14"),
        ("-- Scope: instance", "-- Scope: galaxy", "Scope is 'galaxy' .*one.sql:4"),
        ("-- Kind: state", "-- Kind: guess", "Kind is 'guess' .*one.sql:5"),
        ("-- Cost: cheap", "-- Cost: free", "Cost is 'free' .*one.sql:8"),
        ("-- Versions: 15-16", "-- Versions: 16-15", "Versions is '16-15' .*one.sql:6"),
        ("-- Versions: 15-16", "-- Versions: all", "Versions is 'all' .*one.sql:6"),
        ("-- Warn: > 5 min", "-- Warn: more than 5", "Warn is 'more than 5' .*one.sql:9"),
        ("-- Warn: > 5 min", "-- Warn: > 5 weeks", "Warn is '> 5 weeks' .*one.sql:9"),
        ("-- Warn: > 5 min", "-- Warn: > 1.2.3 s", "Warn is '> 1.2.3 s' .*one.sql:9"),
        ("-- Warn: > 5 min", "-- Warn: > 5 %", "no unit in common .*one.sql:9"),
        ("-- Kind: state", "-- Kind: state\n-- On: every", "On is 'every' .*one.sql:6"),
        ("-- Note: of the query", "-- Unit: miles", "Unit is 'miles' .*one.sql:14"),
    ],
)
def test_a_wrong_header_line_is_named_with_its_place(line: str, instead: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(PgOpsError, match=what):
        checks(written(tmp_path, WHOLE.replace(line, instead)))


def test_thresholds_that_are_all_never_need_a_unit(tmp_path: Path) -> None:
    never = WHOLE.replace("> 5 min", "never").replace("> 1 h", "never")
    with pytest.raises(PgOpsError, match="no unit in common"):
        checks(written(tmp_path, never))
    (check,) = checks(written(tmp_path, never.replace("-- Note: of the query", "-- Unit: B")))
    assert check.dimension == "bytes"


def test_a_forecast_in_percent_is_refused(tmp_path: Path) -> None:
    text = WHOLE.replace("Kind: state", "Kind: forecast").replace("> 5 min", "> 5 %").replace("> 1 h", "> 9 %")
    with pytest.raises(PgOpsError, match="amount of time"):
        checks(written(tmp_path, text))


def test_a_file_without_a_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PgOpsError, match="no query"):
        checks(written(tmp_path, WHOLE[: WHOLE.index("SELECT")]))


def test_a_variant_is_chosen_by_version(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    written(tmp_path, "-- Versions: 17-18\nSELECT 'newer'", "one.17.sql")
    (check,) = checks(tmp_path)
    assert check.query(18) == "SELECT 'newer'"
    assert check.query(15) != check.query(18)
    assert check.query(19) is None


def test_variants_that_overlap_are_refused(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    written(tmp_path, "-- Versions: 16-18\nSELECT 'newer'", "one.16.sql")
    with pytest.raises(PgOpsError, match=r"overlaps .*one.16.sql:1"):
        checks(tmp_path)


def test_a_variant_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PgOpsError, match="variant of no check"):
        checks(written(tmp_path, "-- Versions: 16-18\nSELECT 'newer'", "two.16.sql"))


def test_a_check_may_read_all_rows_of_another(tmp_path: Path) -> None:
    written(tmp_path, WHOLE.replace("AS mend;", "AS mend LIMIT 20"))
    written(tmp_path, FROM_ONE.replace("'' AS mend;", "m FROM one"), "two.sql")
    query = checks(tmp_path)[1].query(15)
    assert query is not None and query.startswith("WITH one AS (\nSELECT") and query.endswith("m FROM one")
    assert "LIMIT" not in query  # that is what the other one lists, not what it knows


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("From: one", "From: three"), "no check 'three' .*two.sql:14"),
        (("Versions: 15-16", "Versions: 15-18"), "one has other versions.*two.sql:14"),
    ],
)
def test_a_check_that_another_cannot_serve_is_refused(change: tuple[str, str], what: str, tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    written(tmp_path, FROM_ONE.replace(*change), "two.sql")
    with pytest.raises(PgOpsError, match=what):
        checks(tmp_path)
