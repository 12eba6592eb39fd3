"""A proxy in front of a store that behaves as badly as a test asks for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BadNetwork:
    """Forwards TCP connections; cuts answers after `cut_after` bytes, or answers 503, as often as it is told to.

    `cut_only` names the one connection to cut, by the port the server sees it come from. `down` refuses everything
    from then on.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0
        self.cut_after = 0
        self.cut_only: int | None = None
        self.unavailable = 0
        self.down = False
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def go_down(self) -> None:
        """Cut what is open and answer nothing more."""
        self.down = True
        for one in list(self._open):
            _close(one)

    def close(self) -> None:
        self.go_down()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _take(self, name: str) -> bool:
        with self._guard:
            left = getattr(self, name)
            if left:
                setattr(self, name, left - 1)
            return bool(left)

    def _serve(self, client: socket.socket) -> None:
        if self.down:
            _close(client)
            return
        if self._take("unavailable"):
            with contextlib.suppress(OSError):
                client.recv(65536)
                body = b"<Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error>"
                client.sendall(
                    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/xml\r\n"
                    + f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
            _close(client)
            return
        server = socket.create_connection(self._target)
        self._open |= {client, server}
        threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
        self._forward(server, client, True)

    def _forward(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        sent = 0
        try:
            port = source.getsockname()[1]
            while data := source.recv(65536):
                chosen = answers and self.cuts and self.cut_only in (None, port)
                if chosen and sent + len(data) > self.cut_after and self._take("cuts"):
                    target.sendall(data[: max(self.cut_after - sent, 0)])
                    break
                target.sendall(data)
                sent += len(data)
        except OSError:
            pass
        finally:
            _close(source)
            _close(target)
            self._open -= {source, target}


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def bad_network(target_port: int) -> Iterator[BadNetwork]:
    """A proxy for the time of a block."""
    proxy = BadNetwork(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
