"""Where PostgreSQL's files are: this machine, or another one over SSH.

Both speak through a shell script that stands between: it takes the environment from its standard input, since a command
line can be read by everybody on the host, and it ends the program when whoever asked for it is gone.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import subprocess
import sys
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pgops.errors import PgOpsError, Refused
from pgops.physical.model import Completed
from pgops.processes import Program, ProgramFailed

log = logging.getLogger(__name__)

Watch = Callable[[str], None]
_STDERR_LINES_KEPT = 40
_NOT_FOUND = 127
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Lines NAME=value up to an empty one. `read` of a pipe takes one byte at a time, so what follows is still there.
_ENVIRONMENT = 'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done; '
# The program reads what follows.
_FED = _ENVIRONMENT + 'exec "$@"'
# Nothing follows: standard input stays open for as long as somebody waits for this program. When it is closed (the task
# was killed, the connection is cut) the program ends with everything that it started.
_GUARDED = (
    _ENVIRONMENT
    + """stopped=
exec 3<&0 </dev/null
setsid "$@" 3<&- & child=$!
{ cat <&3; kill -s TERM -- "-$child"; sleep 5; kill -s KILL -- "-$child"; } >/dev/null 2>&1 & guard=$!
exec 3<&-
trap 'stopped=1; kill -s TERM -- "-$child"' TERM INT
wait "$child"; code=$?
if [ -n "$stopped" ]; then wait "$child"; code=$?; fi
kill "$guard" 2>/dev/null
exit "$code" """
)
_WRITE = 'umask 077; cat >"$1.part" && chmod "$2" "$1.part" && sync "$1.part" && mv -f "$1.part" "$1"'
_FREE = 'at=$1; until [ -e "$at" ]; do at=$(dirname "$at"); done; df -P -B1 "$at"'


class _Shell:
    """A host that runs commands by a shell.

    Args:
        name: how messages call it.
        run_as: what to put before a command so that it runs as the owner of the server's files, such as
            ("sudo", "-n", "-u", "postgres").
    """

    def __init__(self, name: str, run_as: Sequence[str] = ()) -> None:
        self.name = name
        self.run_as = tuple(run_as)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        given: bytes | None = None,
        watch: Watch | None = None,
        check: bool = True,
    ) -> Completed:
        """As Host.run."""
        code, stdout, stderr = self._run(command, environment, given, watch, check)
        return Completed(code, stdout.decode(errors="replace"), stderr)

    def read(self, path: PurePosixPath) -> bytes:
        """As Host.read."""
        return self._run(("cat", "--", str(path)))[1]

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o600) -> None:
        """As Host.write."""
        self._run(("sh", "-c", _WRITE, "write", str(path), f"{mode:o}"), given=content)

    def exists(self, path: PurePosixPath) -> bool:
        """As Host.exists."""
        code, _, stderr = self._run(("test", "-e", str(path)), check=False)
        if code > 1:
            raise ProgramFailed("test", code, stderr, self.name)
        return code == 0

    def free_bytes(self, path: PurePosixPath) -> int:
        """As Host.free_bytes."""
        said = self._run(("sh", "-c", _FREE, "free", str(path)))[1]
        return int(said.decode().splitlines()[-1].split()[3])

    def _run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        given: bytes | None = None,
        watch: Watch | None = None,
        check: bool = True,
    ) -> tuple[int, bytes, str]:
        script = _GUARDED if given is None else _FED
        argv = (*self.run_as, "sh", "-c", script, "sh", *command)
        # UTC: engines name backups by the clock, and read times without a zone.
        variables = {"LC_ALL": "C", "TZ": "UTC", **(environment or {})}
        code, stdout, stderr = self._execute(argv, _lines(variables), given, watch or _logged(command[0]))
        if code == _NOT_FOUND and check:
            raise Refused(
                f"{command[0]} is not installed here",
                where=self.name,
                remedy="Install it, or say in the fleet file where it is (physical.programs)",
            )
        if check and code != 0:
            raise ProgramFailed(PurePosixPath(command[0]).name, code, stderr, self.name)
        return code, stdout, stderr

    @abstractmethod
    def _execute(self, argv: Sequence[str], head: bytes, given: bytes | None, watch: Watch) -> tuple[int, bytes, str]:
        """Run `argv` with `head` and `given` on its standard input; return code, output and last lines of stderr."""


class LocalHost(_Shell):
    """This machine. Programs beside the Python that runs this are found as if they were on PATH."""

    def __init__(self, name: str = "this machine", run_as: Sequence[str] = ()) -> None:
        super().__init__(name, run_as)

    def _execute(self, argv: Sequence[str], head: bytes, given: bytes | None, watch: Watch) -> tuple[int, bytes, str]:
        with Program(
            argv,
            where=self.name,
            env=_own_environment(),
            inherit=False,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            watch=watch,
        ) as program:
            feeder = threading.Thread(target=_feed, args=(program.stdin, head, given), daemon=True)
            feeder.start()
            output = program.stdout.read()
            code = 0
            try:
                program.wait()
            except ProgramFailed as failed:
                code = failed.code
            feeder.join(timeout=5)
            return code, output, program.last_words


@dataclass(frozen=True)
class SshAddress:
    """How to log in to another machine; what an Airflow connection of type ssh says.

    Attributes:
        private_key: its text; or else `key_file`, a path on the Airflow worker.
        host_key: the server's public key, "ssh-ed25519 AAAA..."; without it the worker's known_hosts decides.
        check_host_key: False takes any key: somebody in between can then read and change everything.
    """

    host: str
    port: int = 22
    user: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    key_file: str = ""
    passphrase: str = field(default="", repr=False)
    host_key: str = ""
    check_host_key: bool = True
    timeout: float = 15


class SshHost(_Shell):
    """Another machine; needs only sshd, sh and the usual tools there."""

    def __init__(self, address: SshAddress, run_as: Sequence[str] = ()) -> None:
        super().__init__(f"ssh {address.user}@{address.host}:{address.port}", run_as)
        self.address = address
        self._client: Any = None

    def close(self) -> None:
        """Leave; whatever still runs there for this host ends."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _execute(self, argv: Sequence[str], head: bytes, given: bytes | None, watch: Watch) -> tuple[int, bytes, str]:
        channel = self._channel()
        try:
            channel.exec_command(shlex.join(argv))
            kept: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
            reader = threading.Thread(
                target=_read_lines, args=(channel.makefile_stderr("rb"), kept, watch), daemon=True
            )
            reader.start()
            feeder = threading.Thread(target=_feed_channel, args=(channel, head, given), daemon=True)
            feeder.start()
            output: bytes = channel.makefile("rb").read()
            code = channel.recv_exit_status()
            reader.join(timeout=5)
            if code == -1:
                raise self._lost("the connection was cut while a program was running")
            return code, output, "\n".join(kept)
        except (OSError, EOFError) as error:
            raise self._lost(str(error) or type(error).__name__) from error
        finally:
            channel.close()

    def _channel(self) -> Any:
        import paramiko

        if self._client is None or not self._client.get_transport().is_active():
            self._client = self._connected()
        try:
            return self._client.get_transport().open_session()
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise self._lost(str(error)) from error

    def _connected(self) -> Any:
        import paramiko

        address = self.address
        client = paramiko.SSHClient()
        if address.host_key:
            client.get_host_keys().add(_known_as(address), *_host_key(address))
        elif address.check_host_key:
            client.load_system_host_keys()
        refuse = address.host_key or address.check_host_key
        client.set_missing_host_key_policy(paramiko.RejectPolicy() if refuse else paramiko.AutoAddPolicy())
        try:
            client.connect(
                address.host,
                address.port,
                address.user or None,
                address.password or None,
                pkey=_private_key(address),
                key_filename=address.key_file or None,
                passphrase=address.passphrase or None,
                timeout=address.timeout,
                banner_timeout=address.timeout,
                auth_timeout=address.timeout,
                allow_agent=False,
                look_for_keys=not (address.password or address.private_key or address.key_file),
            )
        except paramiko.BadHostKeyException as error:
            raise Refused(
                f"The server shows another host key than is known: {error}",
                where=self.name,
                remedy="Find out why before you correct host_key in the Airflow connection: somebody may be in between",
            ) from error
        except paramiko.AuthenticationException as error:
            raise Refused(
                f"The login was refused: {error}",
                where=self.name,
                remedy="Correct the Airflow connection's user and key",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if "known_hosts" in str(error):
                raise Refused(
                    "The server's host key is not known",
                    where=self.name,
                    remedy='Put it into the Airflow connection\'s extra "host_key" (ssh-keyscan prints it)',
                ) from error
            raise self._lost(str(error) or type(error).__name__) from error
        client.get_transport().set_keepalive(15)  # a vanished host is noticed, and one that waits is not cut off
        return client

    def _lost(self, why: str) -> PgOpsError:
        return PgOpsError(
            f"The host cannot be reached over SSH: {why}",
            where=self.name,
            remedy="Check host and port of the Airflow connection, and that sshd runs there",
            retry=True,
        )


def _known_as(address: SshAddress) -> str:
    return address.host if address.port == 22 else f"[{address.host}]:{address.port}"


def _host_key(address: SshAddress) -> tuple[str, Any]:
    import paramiko
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

    words = address.host_key.split()
    line = " ".join(["host", *(words if len(words) > 1 else ["ssh-rsa", *words])])  # Airflow: no type means RSA
    try:
        entry = HostKeyEntry.from_line(line)
    except (paramiko.SSHException, InvalidHostKey):
        entry = None
    if entry is None or entry.key is None:
        raise Refused(
            "This is no host key",
            where=f"ssh connection to {address.host}, extra host_key",
            remedy="Write what ssh-keyscan prints after the host's name: ssh-ed25519 AAAA...",
        )
    return entry.key.get_name(), entry.key


def _private_key(address: SshAddress) -> Any:
    """The key of the connection's text, of whatever kind it is."""
    import paramiko

    if not address.private_key:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(address.private_key), address.passphrase or None)
        except (paramiko.SSHException, ValueError):
            continue
    raise Refused(
        "The private key cannot be read",
        where=f"ssh connection to {address.host}, extra private_key",
        remedy="Give an OpenSSH or PEM key (ed25519, ECDSA or RSA), and private_key_passphrase if it has one",
    )


def _lines(variables: Mapping[str, str]) -> bytes:
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or "\n" in value or "\0" in value:
            raise Refused(
                f"{name!r} cannot be a variable of a program's environment",
                where="the engine's settings",
                remedy="Use a plain name and a value of one line",
            )
    return "".join(f"{name}={value}\n" for name, value in variables.items()).encode() + b"\n"


def _own_environment() -> dict[str, str]:
    """What a program here may know of this process: Airflow's secrets are not for PostgreSQL and its commands."""
    kept = ("HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    proxies = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    own = {name: value for name, value in os.environ.items() if name in kept + proxies or name.startswith("AWS_")}
    beside = os.path.dirname(sys.executable)  # noqa: PTH120 - PATH is text
    return {**own, "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), beside])}


def _logged(program: str) -> Watch:
    name = PurePosixPath(program).name
    return lambda line: log.info("%s: %s", name, line)


def _feed(pipe: Any, head: bytes, given: bytes | None) -> None:
    """Write a program's input. With nothing given the pipe stays open: its end would end the program."""
    try:
        pipe.write(head)
        pipe.flush()
        if given is not None:
            pipe.write(given)
            pipe.close()
    except OSError:
        log.debug("the program ended before it had read its input")


def _feed_channel(channel: Any, head: bytes, given: bytes | None) -> None:
    try:
        channel.sendall(head + (given or b""))
        if given is not None:
            channel.shutdown_write()
    except OSError:
        log.debug("the program ended before it had read its input")


def _read_lines(file: Any, kept: deque[str], watch: Watch) -> None:
    for line in file:
        text = line.decode(errors="replace").rstrip()
        kept.append(text)
        watch(text)
