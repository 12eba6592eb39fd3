"""This machine and one over SSH behave alike: programs, files, secrets, and an end when nobody waits any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import paramiko
import psutil
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.physical.host import LocalHost, SshAddress, SshHost
from pgops.processes import ProgramFailed, stop_all
from sandbox.account import account
from tests.physical.sshd import SshServer, running_sshd
from tests.servers import eventually

SECRET = 'it\'s a "$ecret" \\ of the tests'


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with running_sshd() as server:
        yield server


def address(sshd: SshServer, **changes: Any) -> SshAddress:
    given = {"private_key": sshd.private_key, "host_key": sshd.public_host_key}
    return SshAddress("127.0.0.1", sshd.port, "operator", **(given | changes))


@pytest.fixture(params=["local", "run as another", "ssh"])
def host(request: pytest.FixtureRequest, sshd: SshServer) -> Iterator[Any]:
    if request.param != "ssh":
        prefix = account().prefix or ("env",)
        yield LocalHost(run_as=prefix if request.param == "run as another" else ())
        return
    over_ssh = SshHost(address(sshd))
    yield over_ssh
    over_ssh.close()


def alive(mark: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", mark]]


def test_a_program_gets_its_arguments_environment_and_input_as_they_are(host: Any) -> None:
    lines: list[str] = []
    script = 'printf %s "$SECRET|$1"; echo one >&2; echo two >&2; exit 3'
    done = host.run(["sh", "-c", script, "sh", "a 'b' $c\n"], {"SECRET": SECRET}, watch=lines.append, check=False)
    assert (done.code, done.stdout, done.stderr, lines) == (3, f"{SECRET}|a 'b' $c\n", "one\ntwo", ["one", "two"])
    assert host.run(["cat"], {"SECRET": SECRET}, given=b"all of it\n").stdout == "all of it\n"


def test_much_output_and_much_input_pass(host: Any) -> None:
    body = os.urandom(3 << 20)
    done = host.run(["sha256sum"], given=body)
    import hashlib

    assert done.stdout.split()[0] == hashlib.sha256(body).hexdigest()
    assert len(host.run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]).stdout) == 3_000_000


def test_a_failing_program_is_an_error_with_its_host_and_last_words(host: Any) -> None:
    with pytest.raises(ProgramFailed, match="sh ended with exit code 5: no luck") as error:
        host.run(["sh", "-c", "echo no luck >&2; exit 5"])
    assert error.value.where == host.name
    with pytest.raises(Refused, match="there-is-none is not installed"):
        host.run(["there-is-none"])


def test_files_are_written_whole_and_private_and_read_back(host: Any, tmp_path: Path) -> None:
    path = PurePosixPath(tmp_path / "a name with ' and $")
    assert not host.exists(path)
    host.write(path, b"\x00\xff\n" * 1000)
    assert host.exists(path) and host.read(path) == b"\x00\xff\n" * 1000
    assert Path(path).stat().st_mode & 0o777 == 0o600
    host.write(path, b"new", 0o640)
    assert host.read(path) == b"new" and Path(path).stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.raises(PgOpsError, match="No such file"):
        host.read(PurePosixPath(tmp_path / "absent"))


def test_free_space_is_that_of_the_nearest_parent_that_exists(host: Any, tmp_path: Path) -> None:
    usage = psutil.disk_usage(str(tmp_path)).free
    assert abs(host.free_bytes(PurePosixPath(tmp_path / "not" / "yet" / "there")) - usage) < usage / 2


def test_a_variable_that_a_line_cannot_carry_is_refused(host: Any) -> None:
    for name, value in (("TWO", "a\nb"), ("a b", "x"), ("X=", "x")):
        with pytest.raises(Refused, match="cannot be a variable"):
            host.run(["true"], {name: value})


def test_no_secret_shows_in_a_command_line_of_the_other_host(sshd: SshServer) -> None:
    SshHost(address(sshd)).run(["true"], {"AWS_SECRET_ACCESS_KEY": "not-for-all-4711"})
    assert sshd.commands and not any("not-for-all-4711" in command for command in sshd.commands)


def test_airflows_own_secrets_are_not_for_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "key")
    assert "FERNET" not in LocalHost().run(["env"]).stdout


def test_a_program_here_ends_when_its_task_is_stopped_or_killed() -> None:
    runner = threading.Thread(target=lambda: LocalHost().run(["sleep", "7411"], check=False), daemon=True)
    runner.start()
    assert eventually(lambda: alive("7411"))
    stop_all()
    assert eventually(lambda: not alive("7411"))
    code = "from pgops.physical.host import LocalHost; LocalHost().run(['sh', '-c', 'sleep 7412 & sleep 7412'])"
    task = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert eventually(lambda: len(alive("7412")) == 2)
    task.send_signal(signal.SIGKILL)
    task.wait()
    assert eventually(lambda: not alive("7412"))


def test_a_cut_connection_is_an_error_and_ends_the_program_there(sshd: SshServer) -> None:
    host, errors = SshHost(address(sshd)), []

    def run() -> None:
        try:
            host.run(["sleep", "7413"])
        except PgOpsError as error:
            errors.append(error)

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    assert eventually(lambda: alive("7413"))
    time.sleep(0.2)
    sshd.cut()
    runner.join(10)
    assert errors and errors[0].retry
    assert eventually(lambda: not alive("7413"))
    assert host.run(["echo", "again"]).stdout == "again\n"


def test_another_host_key_or_user_key_is_refused(sshd: SshServer) -> None:
    stranger = paramiko.ECDSAKey.generate()
    other = f"{stranger.get_name()} {stranger.get_base64()}"
    with pytest.raises(Refused, match="another host key"):
        SshHost(address(sshd, host_key=other)).run(["true"])
    with pytest.raises(Refused, match="host key is not known"):
        SshHost(address(sshd, host_key="")).run(["true"])
    with pytest.raises(Refused, match="login was refused"):
        SshHost(replace(address(sshd), user="nobody")).run(["true"])
    with pytest.raises(Refused, match="no host key"):
        SshHost(address(sshd, host_key="rubbish")).run(["true"])
    with pytest.raises(Refused, match="private key cannot be read"):
        SshHost(address(sshd, private_key="rubbish")).run(["true"])
    assert SshHost(address(sshd, host_key="", check_host_key=False)).run(["true"]).code == 0


def test_a_host_that_does_not_answer_may_answer_later(sshd: SshServer) -> None:
    with pytest.raises(PgOpsError, match="cannot be reached") as error:
        SshHost(replace(address(sshd), port=9)).run(["true"])
    assert error.value.retry
