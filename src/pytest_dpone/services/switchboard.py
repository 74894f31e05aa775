"""The supervisor's socket: each connection asks once, and gets one answer when it is known."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class Client:
    """A connection: one request, one answer."""

    connection: socket.socket
    received: bytes = b""
    operation: str = ""
    names: tuple[str, ...] = ()


class Switchboard:
    """Takes requests; nothing here waits."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        """`selector` calls us back."""
        self._selector = selector
        self._waiting: list[Client] = []

    def listen(self, private: Path) -> None:
        """Open the socket in the new folder `private`, which nobody else may enter."""
        private.mkdir(mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(private / "socket"))
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def waiting(self) -> list[Client]:
        """Those who have asked and have no answer yet."""
        return list(self._waiting)

    def reply(self, client: Client, answer: dict[str, Any]) -> None:
        """Answer, and hang up."""
        # The answers are a few kilobytes: they fit into the socket's buffer, so this does not wait for the client.
        with contextlib.suppress(OSError):
            client.connection.settimeout(1.0)
            client.connection.sendall(json.dumps(answer).encode() + b"\n")
        self._hang_up(client)

    def _hang_up(self, client: Client) -> None:
        if client in self._waiting:
            self._waiting.remove(client)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        client.connection.close()

    def _accept(self, listener: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            client = Client(connection)
            self._selector.register(connection, selectors.EVENT_READ, lambda _: self._receive(client))

    def _receive(self, client: Client) -> None:
        try:
            data = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.received += data
        if not data:
            self._hang_up(client)
        elif client.received.endswith(b"\n") and not client.operation:
            try:
                request = json.loads(client.received)
                client.operation, client.names = request["op"], tuple(dict.fromkeys(request["names"]))
            except (ValueError, LookupError, TypeError):
                self._hang_up(client)  # not one of our clients
            else:
                self._waiting.append(client)
