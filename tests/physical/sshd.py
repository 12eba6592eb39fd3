"""A real SSH server in this process: it runs what it is told with sh, as sshd does."""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self.server = server

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "operator" and key == self.server.user_key
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.commands.append(command.decode())
        threading.Thread(target=_serve, args=(channel, command.decode()), daemon=True).start()
        return True


class SshServer:
    """Listens on a free port of 127.0.0.1; knows one user with one key."""

    def __init__(self) -> None:
        self.host_key = paramiko.ECDSAKey.generate()
        self.user_key = paramiko.ECDSAKey.generate()
        self.commands: list[str] = []
        self.transports: list[paramiko.Transport] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def private_key(self) -> str:
        text = io.StringIO()
        self.user_key.write_private_key(text)
        return text.getvalue()

    @property
    def public_host_key(self) -> str:
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def cut(self) -> None:
        """Cut every connection."""
        for transport in self.transports:
            transport.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(self.host_key)
                self.transports.append(transport)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Rules(self))


def _serve(channel: paramiko.Channel, command: str) -> None:
    """Run a command with the channel as its input and outputs; a channel that is closed closes its input."""
    process = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def feed() -> None:
        with contextlib.suppress(OSError), process.stdin:
            while data := channel.recv(1 << 16):
                process.stdin.write(data)
                process.stdin.flush()

    def tell(pipe: io.BufferedReader, send: object) -> None:
        with contextlib.suppress(OSError):
            while data := pipe.read1(1 << 16):
                send(data)  # type: ignore[operator]

    threads = [
        threading.Thread(target=tell, args=(process.stdout, channel.sendall), daemon=True),
        threading.Thread(target=tell, args=(process.stderr, channel.sendall_stderr), daemon=True),
    ]
    threading.Thread(target=feed, daemon=True).start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with contextlib.suppress(OSError, EOFError):
        channel.send_exit_status(process.wait())
        channel.close()


@contextmanager
def running_sshd() -> Iterator[SshServer]:
    server = SshServer()
    try:
        yield server
    finally:
        server.cut()
        server.socket.close()
