"""Standbys after a recovery in place: those that the fleet file names follow again, and what they held stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.physical import in_place, standbys
from pgops.physical.host import LocalHost, SshAddress, SshHost
from pgops.physical.model import Completed
from pgops.physical.standbys import Standby
from tests import servers
from tests.physical.recovery.sources import CONTENT, archiving_source, following
from tests.physical.recovery.test_in_place import STEPS, destroyed, site_of, step


@pytest.fixture
def source():
    with archiving_source(servers.MAJORS[0]) as source:
        yield source


def named(source, standby, host=None, **changes) -> Standby:
    """As the fleet file names it."""
    found = Standby(host or source.place.host, PurePosixPath(standby.data), source.place.bindir, standby.name)
    return replace(found, **({"slot": standby.slot} | changes))


def recovered(source):
    """The server goes back in place; return its state, and the content of that instant."""
    target, content = destroyed(source)
    site = site_of(source)
    state = in_place.begin(site, "run-1", source.plan(target), datetime.now(UTC))
    for name in STEPS:
        state = step(name, site, state, source)
    return state, content


def stop(source, standby) -> None:
    source.place.host.run([str(source.place.bindir / "pg_ctl"), "stop", "-m", "fast", "-D", str(standby.data)])


def follows(source, standby) -> bool:
    """Whether it gets what is written now, as a standby."""
    source.sql("create table if not exists since (at timestamptz); insert into since values (clock_timestamp())")
    [(rows,)] = source.sql("select count(*) from since")
    assert servers.eventually(standby.ready, 30)
    in_recovery = standby.execute("select pg_is_in_recovery()") == [(True,)]
    return in_recovery and servers.eventually(
        lambda: (
            standby.execute("select to_regclass('since')::text") == [("since",)]
            and standby.execute("select count(*) from since") == [(rows,)]
        ),
        30,
    )


def test_a_standby_streams_from_the_recovered_server_and_its_old_files_stay(each_fresh_source):
    source = each_fresh_source
    with following(source) as standby:
        source.place.host.run(["sh", "-c", f"echo \"work_mem = '7MB'\" >>{standby.data}/postgresql.auto.conf"])
        state, content = recovered(source)
        site, fleet = site_of(source), {"standby": lambda: named(source, standby)}
        assert standbys.commands(site, state, fleet) == (), "nobody needs to do it by hand"
        state = standbys.seed_all(site, state, fleet)
        assert follows(source, standby) and standby.execute(CONTENT) == [(content,)]
        assert standby.execute("show work_mem") == [("7MB",)], "its own settings are back"
        assert source.sql("select active from pg_replication_slots where slot_name = 'standby'") == [(True,)]
        [seeded] = state.seeded
        assert in_place.read(site) == state and (Path(seeded.kept) / "standby.signal").exists()
        [told] = standbys.told(state, fleet)
        assert told.startswith("standby streams; its old data directory is") and seeded.kept in told
        # Cleared and run again it does nothing, also when somebody has removed the old files.
        begun = standby.execute("select pg_postmaster_start_time()")
        assert standbys.seed_all(site, state, fleet) == state
        source.place.host.run(["rm", "-rf", seeded.kept])
        assert standbys.seed_all(site, state, fleet).seeded == (replace(seeded, kept=""),)
        assert standby.execute("select pg_postmaster_start_time()") == begun


def test_a_standby_is_seeded_anew_by_the_command_that_the_report_prints_where_nobody_named_it(source):
    with following(source) as standby:
        state, content = recovered(source)
        site = site_of(source)
        [printed] = standbys.commands(site, state, {"another": lambda: named(source, standby)})
        words, command = printed.split("\n")
        assert words.startswith("# standby at 127.0.0.1: stop it")
        stop(source, standby)
        source.place.host.run(["mv", str(standby.data), f"{standby.data}.away"])
        for blank, value in (("<its data directory>", standby.data), ("<its slot>", standby.slot)):
            command = command.replace(blank, str(value))
        source.place.host.run(["sh", "-c", f"{site.bindir}/{command}"], {"PGPASSWORD": source.server.password})
        standby.create()
        standby.start()
        assert follows(source, standby) and standby.execute(CONTENT) == [(content,)]


class Mortal(LocalHost):
    """Whoever works there dies once after each thing that was done, before it could be noted."""

    def __init__(self, run_as) -> None:
        super().__init__("this machine", run_as)
        self.died: set[tuple[str, ...]] = set()

    def _run(self, command, *given, **options):
        done = super()._run(command, *given, **options)
        if tuple(command) not in self.died:
            self.died.add(tuple(command))
            raise RuntimeError("SIGKILL")
        return done


def test_whoever_dies_after_any_line_goes_on_when_it_is_cleared(source):
    with following(source) as standby:
        source.place.host.write(PurePosixPath(standby.data) / "of_old", b"kept")
        state, content = recovered(source)
        host = Mortal(source.place.host.run_as)
        one = named(source, standby, host)
        for _ in range(100):
            try:
                seeded = standbys.seed(site_of(source), state, one)
                break
            except RuntimeError:
                continue
        died = {Path(command[0]).name for command in host.died}
        assert {"mv", "rm", "pg_basebackup", "sh", "pg_ctl"} <= died
        assert follows(source, standby) and standby.execute(CONTENT) == [(content,)]
        assert source.place.host.read(PurePosixPath(seeded.kept) / "of_old") == b"kept"
        assert not source.place.host.exists(one.data / "of_old")
        assert [file.name for file in Path(one.folder).iterdir()] == ["server.log"], "no half copy is left"


def test_one_whose_host_refuses_is_named_and_the_next_which_is_down_is_done(source):
    def refuses() -> Standby:
        address = SshAddress("127.0.0.1", servers.free_port(), "operator", password="none", check_host_key=False)
        found = named(source, standby, SshHost(address))
        found.cluster.running()
        return found

    with following(source) as standby:
        state, content = recovered(source)
        stop(source, standby)
        site, fleet = site_of(source), {"far": refuses, "standby": lambda: named(source, standby)}
        with pytest.raises(PgOpsError, match="far: The host cannot be reached over SSH") as raised:
            standbys.seed_all(site, state, fleet)
        assert raised.value.retry and "standby:" not in str(raised.value)
        assert follows(source, standby) and standby.execute(CONTENT) == [(content,)]
        state = in_place.read(site)
        assert state is not None and [one.name for one in state.seeded] == ["standby"]
        assert standbys.told(state, fleet)[0] == "far was NOT seeded anew"


def test_one_that_does_not_start_is_an_error_with_its_words_and_goes_on_when_that_is_mended(source, monkeypatch):
    monkeypatch.setattr(standbys, "_DEAD_SECONDS", 3.0)
    with following(source) as standby:
        state, content = recovered(source)
        site = site_of(source)
        broken = PurePosixPath(standby.data) / "broken.conf"
        source.place.host.write(broken, b"no_such_setting = 1\n")
        include = f"echo \"include 'broken.conf'\" >>{standby.data}/postgresql.conf"
        source.place.host.run(["sh", "-c", include])
        with pytest.raises(PgOpsError, match=r"does not stream on timeline 2: .*contains errors"):
            standbys.seed(site, state, named(source, standby))
        assert source.sql("select active from pg_replication_slots where slot_name = 'standby'") == [(False,)]
        source.place.host.write(broken, b"")
        standbys.seed(site, state, named(source, standby))
        assert follows(source, standby) and standby.execute(CONTENT) == [(content,)]


def test_no_process_shows_the_password(source):
    bindir = source.server.identity.folder(source.folder / "bin")
    real, seen = source.place.bindir, bindir / "seen"
    look = f"#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >{seen}\nexec {real}/pg_basebackup \"$@\"\n"
    source.place.host.run(["sh", "-c", f"ln -s {real}/* {bindir}/ && rm {bindir}/pg_basebackup"])
    source.place.host.write(PurePosixPath(bindir / "pg_basebackup"), look.encode(), 0o700)
    with following(source) as standby:
        source.sql("alter role postgres password 'of-this-test-alone-4b1f'")
        source.server.password = standby.password = "of-this-test-alone-4b1f"
        state, _ = recovered(source)
        standbys.seed(site_of(source), state, named(source, standby, bindir=PurePosixPath(bindir)))
        assert follows(source, standby)
        assert f"pg_basebackup -D {named(source, standby).half}" in seen.read_text()
        assert source.server.password not in seen.read_text()


class Volume(LocalHost):
    """Here every folder is a volume of its own."""

    def run(self, command, environment=None, **options):
        if command[0] == "mountpoint":
            return Completed(0, "", "")
        return super().run(command, environment, **options)


def test_what_cannot_be_seeded_is_refused_before_anything_is_touched(source):
    host, at = source.place.host, datetime.now(UTC)
    with following(source) as standby:
        target, _ = destroyed(source)
        plan = source.plan(target)
        one = named(source, standby)

        def planned(found=one, plan=plan):
            return standbys.planned({"standby": lambda: found}, plan, at, begun=False)

        def refused(**changes) -> str:
            with pytest.raises(Refused, match="The standby standby could not be seeded afterwards") as raised:
                planned(**changes)
            assert not host.exists(PurePosixPath(one.kept_name(at))) and not host.exists(one.folder)
            return str(raised.value)

        lines, back = planned()
        assert one.kept_name(at) in lines[0] and f"mv -T {one.kept_name(at)} {one.data}" in back
        assert "the volume has" in refused(plan=replace(plan, disk_bytes=1 << 60))
        assert "a volume of its own" in refused(found=replace(one, host=Volume("here", host.run_as)))
        assert "There is no data directory" in refused(found=replace(one, data=one.data / "none"))
        other = replace(plan, backup=replace(plan.backup, system_identifier="1"))
        assert "its system identifier is" in refused(plan=other)
        assert "standby.signal is not in" in refused(found=replace(one, data=site_of(source).data))
        host.run(["ln", "-s", "/tmp", str(one.data / "pg_tblspc" / "99999")])
        assert "It has tablespaces" in refused()
        host.run(["rm", str(one.data / "pg_tblspc" / "99999")])
        far = SshHost(SshAddress("127.0.0.1", servers.free_port(), "operator", password="none", check_host_key=False))
        assert "cannot be reached over SSH" in refused(found=replace(one, host=far))
        # One that was begun is not refused any more.
        lines, _ = standbys.planned({"standby": lambda: one}, other, at, begun=True)
        assert len(lines) == 1 and follows(source, standby)
