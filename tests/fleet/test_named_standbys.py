"""The standbys that a recovery in place seeds anew, as the fleet file names them."""

from __future__ import annotations

import pytest

from tests.fleet.test_loader import changed, load

ONE = {"name": "standby-1", "host": "ssh_standby", "data_directory": "/var/lib/postgresql/15/main"}


def with_standbys(tmp_path, *named):
    recovery = {"connection": "pg_physical", "in_place": {"approvers": ["op"], "standbys": list(named)}}
    policy = {"connection": "pg_physical", "host": "local", "recovery": recovery}
    return load(tmp_path, changed("servers", 0, "physical", to=policy))


def test_they_are_read_with_pg_ctl_and_their_own_slot_as_the_default(tmp_path):
    fleet = with_standbys(tmp_path, ONE, ONE | {"name": "standby 2", "host": "local", "slot": "of_two"})
    assert fleet.problems == ()
    one, two = fleet.server("primary").physical.recovery.in_place.standbys
    assert (one.host, one.slot, one.stop, one.start, one.run_as) == ("ssh_standby", "", (), (), ())
    assert (two.name, two.slot) == ("standby 2", "of_two")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ([ONE, ONE | {"data_directory": "/other"}], "the same name"),
        ([ONE, ONE | {"name": "other", "data_directory": "/var/lib/postgresql/15/main/"}], "the same data directory"),
        ([ONE | {"data_directory": "main"}], "an absolute folder"),
        ([ONE | {"stop": ["systemctl", "stop", "postgresql"]}], "'stop' and 'start' belong together"),
        ([ONE | {"slot": "Of-Two"}], "Of-Two"),
        ([ONE | {"name": "two\nlines"}], "two"),
        ([{"name": "standby-1"}], "data_directory"),
    ],
)
def test_a_mistake_is_one_of_its_server(tmp_path, named, said):
    [problem] = with_standbys(tmp_path, *named).problems
    assert "servers[0].physical.recovery.in_place" in problem.key and said in f"{problem.key} {problem.what}"
