"""Every way in which a recovery looks done and is not, and every way in which it is cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.ledger import Lease, held_lease
from pgops.physical import configure, follow, recover, state
from pgops.physical.follow import RecoveryFailed
from pgops.physical.plan import parse_target
from pgops.physical.recoverability import problems, survey
from pgops.physical.wal import lsn_text, number_of, segment
from tests import servers
from tests.physical.plain_engine import WAL_BYTES
from tests.physical.recovery.sources import CONTENT, Source, archiving_source, backed_up, run_as

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scene(source: Source) -> tuple[Source, str, str]:
    """A base backup, rows, an instant, then damage; its WAL in several segments, archived."""
    backed_up(source)
    source.sql("delete from items where id >= 10000")
    source.sql("insert into items select n, 'before' from generate_series(10001, 10200) n")
    source.archived()
    source.sql("insert into items values (20000, 'before, in a later segment')")
    target, content = source.now().isoformat(), source.content()
    source.sql("delete from items where id = 20000; insert into items values (20001, 'after')")
    source.archived()
    source.commit_later()
    source.archived()
    return source, target, content


def states(source: Source) -> list[str]:
    return [one.phase for one in state.recoveries(source.place)]


# --- the traps: what must never be a success ---


def test_a_target_after_the_last_commit_is_refused_and_were_it_tried_the_servers_death_is_a_failure(scene):
    source, _, _ = scene
    late = (source.now() + timedelta(milliseconds=1)).isoformat()
    with pytest.raises(Refused, match="holds no commit after it") as refused:
        source.plan(late)
    assert "Restorable: timeline 1" in refused.value.remedy
    forced = replace(source.plan("latest"), target=parse_target(late))
    with pytest.raises(RecoveryFailed, match="recovery ended before configured recovery target was reached"):
        source.recovered(forced)
    assert states(source) == ["configured"]


def test_a_target_before_the_base_backups_end_is_refused_and_were_it_tried_it_is_no_success(scene):
    source, _, _ = scene
    newest = backed_up(source)
    source.commit_later()
    source.archived()
    before = (newest.ended_at - timedelta(milliseconds=1)).isoformat()
    assert source.plan(before).backup.backup_id != newest.backup_id
    forced = replace(source.plan("latest"), target=parse_target("2026-01-01T00:00:00Z"), backup=newest)
    with pytest.raises(RecoveryFailed):
        source.recovered(forced)


def test_what_an_unset_action_and_a_pause_look_like_is_not_taken_for_success(scene, monkeypatch):
    source, target, _ = scene
    settings = configure.recovery_settings
    monkeypatch.setattr(
        recover,
        "recovery_settings",
        lambda *given: {**settings(*given), "recovery_target_action": "pause"},
    )
    with pytest.raises(RecoveryFailed, match="Recovery is paused"):
        source.recovered(target)


def test_settings_that_were_not_read_lead_to_the_end_of_the_wal_which_is_noticed(scene, monkeypatch):
    """As if they stood in recovery.signal: the damage is replayed, and the server promotes."""
    source, target, content = scene
    settings = configure.recovery_settings
    monkeypatch.setattr(
        recover,
        "recovery_settings",
        lambda *given: {k: v for k, v in settings(*given).items() if not k.startswith("recovery_target_time")},
    )
    with pytest.raises(RecoveryFailed, match="This is not the state of") as failed:
        source.recovered(target)
    assert failed.value.anew and states(source) == ["fetching"]
    monkeypatch.undo()
    recovery = source.recovered(target)
    assert source.copy(recovery)(CONTENT) == content, "and the next try begins anew"


def test_targets_that_the_sources_own_files_hold_do_not_count(scene):
    source, _, _ = scene
    source.server.execute("alter system set recovery_target_name = 'of another day'")
    try:
        backed_up(source)
        at = source.now().isoformat()
        content = source.content()
        source.commit_later()
        source.archived()
        recovery = source.recovered(at)
        assert source.copy(recovery)(CONTENT) == content
    finally:
        source.server.execute("alter system reset recovery_target_name")


def test_a_zone_of_the_server_does_not_move_the_target(scene):
    source, _, _ = scene
    source.server.execute("alter system set timezone = 'America/New_York'")
    source.server.execute("select pg_reload_conf()")
    try:
        backed_up(source)
        target, content = source.now().isoformat(), source.content()
        source.sql("insert into items values (50000, 'after')")
        source.archived()
        recovery = source.recovered(target)
        assert source.copy(recovery)("show timezone") == "America/New_York"
        assert source.copy(recovery)(CONTENT) == content
    finally:
        source.sql("delete from items where id = 50000")
        source.server.execute("alter system reset timezone")
        source.server.execute("select pg_reload_conf()")


# --- the archive ---


@contextmanager
def damaged(source: Source, name: str, content: bytes | None):
    """A segment that is not there, or that holds something else."""
    file = source.engine.segment_file(name)
    kept, times = file.read_bytes(), file.stat()
    file.unlink() if content is None else file.write_bytes(content)
    if content is not None:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        yield
    finally:
        file.write_bytes(kept)
        source.server.identity.give(file)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def segment_of(source: Source, target: str) -> str:
    """The segment that the target's recovery reads after the base backup's last one."""
    found = source.plan(target)
    number = number_of(found.backup.last_wal, WAL_BYTES) + 1
    assert number <= number_of(found.last_wal, WAL_BYTES)
    return segment(found.timeline, number, WAL_BYTES)


def test_a_missing_segment_is_named_before_anything_is_touched(scene):
    source, target, _ = scene
    name = segment_of(source, target)
    with damaged(source, name, None), pytest.raises(Refused, match=name):
        source.recovered(target)
    assert states(source) == []


@pytest.mark.parametrize("target_is", ["time", "latest"])
def test_a_corrupted_segment_is_never_a_success(scene, target_is):
    """The list has it; only replay finds out. Towards the end of the WAL PostgreSQL would promote before it."""
    source, target, content = scene
    wanted = target if target_is == "time" else "latest"
    made = source.plan(wanted)
    name = segment_of(source, target)
    sound = source.engine.segment_file(name).read_bytes()
    with damaged(source, name, sound[:8192] + os.urandom(len(sound) - 8192)):
        told = f"replay ended at .*; {name} is the last .* up to {made.last_wal}"
        with pytest.raises(RecoveryFailed, match=told) as failed:
            source.recovered(made)
        reachable = failed.value.what.rpartition("So much can be recovered: target ")[2]
        assert source.recovered(reachable, "so-much").phase == "recovered"
    recovery = source.recovered(made)
    if target_is == "time":
        assert source.copy(recovery)(CONTENT) == content, "once it is mended the recovery goes on"


def test_latest_says_so_when_the_last_segment_ends_amid_damage(scene):
    """Its beginning can be replayed, and is: what follows it is lost, which nobody must have to find out."""
    source, _, _ = scene
    source.sql("insert into items select n, repeat('x', 200) from generate_series(30001, 33000) n")
    name = source.archived()
    assert source.plan("latest").notes == ()
    sound = source.engine.segment_file(name).read_bytes()
    with damaged(source, name, sound[:65536] + os.urandom(len(sound) - 65536)):
        made = source.plan("latest")
        assert made.last_wal == name and f"WAL segment {name} is damaged" in made.notes[0]
        assert any(f"{name} is damaged" in one for one in problems(survey(source.engine, source.reader()), 1e9, None))
        recovery = source.recovered(made)
    assert recovery.reached is not None and lsn_text(made.interval.ends_lsn) in recovery.reached.words


def test_an_archive_that_is_away_for_a_while_is_waited_for(scene, monkeypatch):
    """S3 down during the recovery, and back: towards `latest` too, where its silence looks like the end of the WAL."""
    source, _, _ = scene
    made = source.plan("latest")
    recovery = recover.restore(source.place, source.prepared(made), source.engine)
    content = source.content()
    wal, away = source.engine.folder / "wal", source.engine.folder / "wal-away"
    wal.rename(away)
    died = threading.Event()
    monkeypatch.setattr(follow, "LINE_SECONDS", 0.0)
    lines: list[str] = []

    def watch(line: str) -> None:
        lines.append(line)
        if "trying again" in line and not died.is_set():
            died.set()
            away.rename(wal)

    try:
        recovery = recover.recover(source.place, recovery, source.engine, watch, patience_seconds=60)
    finally:
        if away.exists():
            away.rename(wal)
    assert died.is_set(), "it was away when the server asked for it"
    assert any(
        line.startswith("recovery to latest: at 0/") and "% of the WAL" in line and "ETA" in line for line in lines
    )
    assert source.copy(recovery)(CONTENT) == content


def test_an_archive_that_stays_away_is_a_failure_and_the_next_try_goes_on(scene):
    source, target, content = scene
    recovery = recover.restore(source.place, source.prepared(target), source.engine)
    wal, away = source.engine.folder / "wal", source.engine.folder / "wal-away"
    wal.rename(away)
    try:
        with pytest.raises(PgOpsError) as failed:
            recover.recover(source.place, recovery, source.engine, patience_seconds=0)
    finally:
        away.rename(wal)
    assert failed.value.retry
    recovery = recover.recover(source.place, state.read(source.place, "one"), source.engine)
    assert source.copy(recovery)(CONTENT) == content
    assert source.engine.fetched >= 1


def test_a_failing_archive_command_does_not_hold_up_the_shutdown_for_ever(scene):
    source, target, _ = scene
    recovery = source.recovered(target)
    server = state.cluster(source.place, recovery)
    server.stop()
    configure.overrule(server, {"port": str(recovery.port), "unix_socket_directories": str(server.sockets)})
    server.start({**recover.start_settings(server), "archive_mode": "on", "archive_command": "false"})
    assert servers.eventually(server.answers, 30)
    server.ask("create table public.more as select 1; select pg_switch_wal()", readonly=False)
    stopped = server.stop(seconds=3)
    assert not server.running() and stopped in (True, False)


# --- cut off ---


def run_apart(source: Source, step: str, folder: Path) -> subprocess.Popen[str]:
    facts = {
        "run_as": run_as(source.server.identity),
        "base": str(source.place.base),
        "bindir": str(source.place.bindir),
        "ports": source.place.ports,
        "archive": str(source.engine.folder),
        "id": "one",
        "step": step,
    }
    file = folder / "facts.json"
    file.write_text(json.dumps(facts))
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_recovery.py")), str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("step", ["restore", "recover"])
def test_a_recovery_that_was_killed_half_way_is_finished_by_the_next_try(scene, step, tmp_path):
    source, target, content = scene
    recovery = source.prepared(target)
    if step == "recover":
        recovery = recover.restore(source.place, recovery, source.engine)
    process = run_apart(source, step, tmp_path)
    try:
        assert process.stdout is not None and process.stdout.readline()
        if step == "recover":
            assert servers.eventually(lambda: states(source) != ["fetched"], 30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert states(source) == (["fetching"] if step == "restore" else states(source))
    recovery = recover.restore(source.place, state.read(source.place, "one"), source.engine)
    recovery = recover.recover(source.place, recovery, source.engine)
    assert source.copy(recovery)(CONTENT) == content


def test_a_server_that_is_killed_while_it_recovers_goes_on_where_it_was(scene, monkeypatch):
    source, target, content = scene
    recovery = recover.restore(source.place, source.prepared(target), source.engine)
    monkeypatch.setattr(source.engine, "restore_command", lambda host: f"sleep 1; cp {source.engine.folder}/wal/%f %p")
    server = state.cluster(source.place, recovery)

    def kill() -> None:
        pid_file = Path(server.data) / "postmaster.pid"
        assert servers.eventually(lambda: pid_file.exists() and server.said(), 30)
        psutil.Process(int(pid_file.read_text().split()[0])).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RecoveryFailed):
        recover.recover(source.place, recovery, source.engine, patience_seconds=0)
    killer.join()
    assert servers.eventually(lambda: _goes_on(source), 30)
    assert source.copy(state.read(source.place, "one"))(CONTENT) == content


def _goes_on(source: Source) -> bool:
    """The orphans of the server that was killed hold its memory for a moment."""
    try:
        recover.recover(source.place, state.read(source.place, "one"), source.engine, patience_seconds=0)
    except RecoveryFailed:
        return False
    return True


def test_what_a_removed_recovery_leaves_is_nothing(scene):
    source, target, _ = scene
    recovery = source.recovered(target)
    sockets = state.cluster(source.place, recovery).sockets
    assert state.remove(source.place, "one") and not state.remove(source.place, "one")
    left = source.place.host.run(["find", str(source.place.base), "-mindepth", "1"]).stdout.split()
    assert left == [str(source.place.base / ".ports")]
    assert not Path(sockets).exists()
    assert servers.eventually(lambda: not _processes_in(str(source.place.base)), 10)


def _processes_in(folder: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_copies_whose_time_is_over_are_swept_and_others_are_not(scene):
    source, target, _ = scene
    made = source.plan(target)
    now = datetime.now(UTC)
    recover.restore(source.place, recover.prepare(source.place, "old", made, now, timedelta(hours=1)), source.engine)
    recover.prepare(source.place, "new", made, now, timedelta(hours=3))
    assert state.sweep(source.place, now + timedelta(hours=2)) == ("old",)
    assert [one.id for one in state.recoveries(source.place)] == ["new"]


# --- room ---


def test_a_volume_without_room_is_refused_before_anything_is_touched(scene):
    source, target, _ = scene
    with pytest.raises(Refused, match="The recovery needs"):
        source.recovered(replace(source.plan(target), disk_bytes=1 << 60))
    assert states(source) == []


def test_a_disk_that_fills_up_during_the_recovery_is_said_and_the_next_try_goes_on(scene, tmp_path):
    """A small volume of its own. Nothing of it counts until there is room."""
    source, target, content = scene
    folder = source.folder / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "small", folder]).returncode:
        pytest.skip("this machine lets nobody mount a small volume")
    try:
        source.server.identity.give(folder)
        place = replace(source.place, base=source.place.base.with_name("small"))
        made = replace(source.plan(target), disk_bytes=0)
        filler = folder / "filler"
        recovery = state.begin(
            place, state.Recovery("one", "primary", made, 0, datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1))
        )
        recovery = recover.restore(place, recovery, source.engine)
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        with pytest.raises(PgOpsError):
            recover.recover(place, recovery, source.engine, patience_seconds=0)
        filler.unlink()
        recovery = recover.recover(place, state.read(place, "one"), source.engine, patience_seconds=0)
        assert state.cluster(place, recovery).ask(CONTENT) == content
        state.remove(place, "one")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# --- two at once ---


def test_two_recoveries_into_one_place_cannot_be(scene, ledger):
    source, target, _ = scene
    first, second = (Lease(ledger, f"recovery/{source.place.where('one')}", owner) for owner in ("run-1", "run-2"))
    with held_lease(first), pytest.raises(Refused, match="run-1 has it"), held_lease(second):
        pass
    first.release()
    source.prepared(target)
    with pytest.raises(Refused, match="Another recovery is there"):
        source.prepared("latest")


def test_two_recoveries_side_by_side_get_ports_of_their_own(scene):
    source, target, content = scene
    made = source.plan(target)
    recoveries: dict[str, state.Recovery] = {}

    def one(name: str) -> None:
        recoveries[name] = source.recovered(made, name)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({recovery.port for recovery in recoveries.values()}) == 2
    assert [source.copy(recovery)(CONTENT) for recovery in recoveries.values()] == [content, content]


def test_without_a_free_port_it_is_refused(scene):
    source, target, _ = scene
    made = source.plan(target)
    place = replace(source.place, ports=(source.server.port, source.server.port))
    recovery = state.Recovery("one", "primary", made, 0, datetime.now(UTC), datetime.now(UTC))
    with pytest.raises(Refused, match="All ports"):
        state.begin(place, recovery)
    state.remove(place, "one")


# --- timelines and tablespaces, on servers of their own ---


def test_after_an_earlier_recovery_both_timelines_can_be_recovered(each_source):
    """The live server is recovered in place; then its new state, and one that it left behind, are asked for."""
    from tests.physical.recovery.test_in_place import STEPS, site_of, step

    source = each_source
    backed_up(source)
    first, content_then = source.now().isoformat(), source.content()
    source.sql("insert into items values (61000, 'on the first timeline')")
    left_behind, content_left = source.now().isoformat(), source.content()
    source.commit_later()
    source.archived()
    from pgops.physical import in_place

    site, now = site_of(source), datetime.now(UTC)
    current = in_place.begin(site, "run", source.plan(first), now)
    for name in STEPS:
        current = step(name, site, current, source)
    assert source.content() == content_then
    source.sql("insert into items values (62000, 'on the second timeline')")
    content_now = source.content()
    source.archived()
    recovery = source.recovered("latest", "now")
    assert (recovery.plan.timeline, source.copy(recovery)(CONTENT)) == (2, content_now)
    recovery = source.recovered(left_behind, "behind")
    assert (recovery.plan.timeline, source.copy(recovery)(CONTENT)) == (1, content_left)
    recovery = source.recovered(replace(source.plan("latest"), backup=source.engine.backups()[0]), "through")
    assert source.copy(recovery)(CONTENT) == content_now, "from the old base backup through the switch"
    # An archive that began after the switch has no history of it, and needs none from a base backup after it.
    (source.engine.folder / "wal" / "00000002.history").unlink()
    recovery = source.recovered("latest", "without-history")
    assert source.copy(recovery)(CONTENT) == content_now
    source.clean()


def test_a_tablespace_is_brought_back_beside_the_copy_and_the_sources_is_not_touched():
    with archiving_source(servers.MAJORS[-1]) as source:
        folder = source.server.identity.folder(source.folder / "space")
        source.sql(f"create tablespace other location '{folder}'")
        source.sql("create table elsewhere tablespace other as select n from generate_series(1, 500) n")
        backed_up(source)
        source.sql("insert into elsewhere select n from generate_series(501, 600) n")
        target = source.now().isoformat()
        source.sql("truncate elsewhere")
        source.archived()
        before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
        recovery = source.recovered(target)
        ask = source.copy(recovery)
        assert ask("select count(*) from public.elsewhere") == "600"
        where = ask("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'other'")
        assert where.startswith(str(source.place.folder("one")))
        ask("insert into public.elsewhere values (1)", readonly=False)
        assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
        assert source.sql("select count(*) from elsewhere") == [(0,)]


def test_a_fetched_tablespace_that_leads_to_the_sources_own_files_is_never_started(monkeypatch):
    with archiving_source(servers.MAJORS[0]) as source:
        folder = source.server.identity.folder(source.folder / "space")
        source.sql(f"create tablespace other location '{folder}'")
        backed_up(source)
        source.commit_later()
        source.archived()
        recovery = recover.restore(source.place, source.prepared("latest"), source.engine)
        server = state.cluster(source.place, recovery)
        oid = source.engine.backups()[-1].tablespaces[0][0]
        server.host.run(["ln", "-sfn", str(folder), str(server.data / "pg_tblspc" / oid)])
        with pytest.raises(Refused, match="outside of the recovery's folder"):
            recover.recover(source.place, recovery, source.engine)


def test_another_servers_base_backup_is_not_started(scene):
    source, target, _ = scene
    made = source.plan(target)
    with pytest.raises(Refused, match="of another server"):
        source.recovered(replace(made, backup=replace(made.backup, system_identifier="1")))


def test_the_last_position_that_a_plan_names_is_one_that_the_archive_holds(scene):
    source, _, _ = scene
    made = source.plan("latest")
    assert made.interval.exact and made.interval.ends_lsn < (number_of(made.last_wal, WAL_BYTES) + 1) * WAL_BYTES
    recovery = source.recovered(made)
    assert recovery.reached is not None
    assert f'LSN) "{lsn_text(made.interval.ends_lsn)}"' in recovery.reached.words
