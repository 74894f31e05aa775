"""A TCP proxy between an engine and a sink, which counts what passes and can cut the line in the middle."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16
_PATIENCE = 10.0
"""Seconds in which the server must take a connection."""


class Proxy:
    """Listens on 127.0.0.1 while it is a context. After `limit` bytes, both ways together, every connection is cut and
    none is taken any more."""

    def __init__(self, host: str, port: int, *, limit: int | None = None) -> None:
        self._server = (host, port)
        self._limit = limit
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.passed = 0
        """Bytes that have passed."""
        self.cut = False
        """If the limit was met."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listening)
        with self._lock:
            self._hang_up()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed: the end
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, timeout=_PATIENCE)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._lines += (client, server)
            if self.cut:
                self._hang_up()
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                target.sendall(self._allowed(data))
        # One side has hung up, so the other one hears it, too; a half that is open carries nothing for our clients.
        _end(source)
        _end(target)

    def _allowed(self, data: bytes) -> bytes:
        """As much of `data` as may pass; the connections end with the byte after that."""
        with self._lock:
            left = len(data) if self._limit is None else self._limit - self.passed
            self.passed += min(len(data), max(left, 0))
            if len(data) > left:
                self.cut = True
                self._hang_up()
        return data[: max(left, 0)]

    def _hang_up(self) -> None:
        for line in self._lines:
            _end(line)
        self._lines.clear()


def _end(line: socket.socket) -> None:
    """Close it, and wake a thread that waits for it."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
