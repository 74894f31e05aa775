"""The proxy before a sink: it passes every byte, counts them, and cuts after the last one that it may pass."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pytest_dpone.run.proxy import Proxy


class Echo(socketserver.BaseRequestHandler):
    """Says what it hears."""

    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def talk(port: int, data: bytes) -> bytes:
    """Send `data` and read as much again, or what there is before the line ends."""
    heard = b""
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        threading.Thread(target=_send, args=(line, data), daemon=True).start()
        while len(heard) < len(data) and (part := line.recv(1 << 16)):
            heard += part
    return heard


def _send(line: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        line.sendall(data)


def test_everything_passes_and_is_counted(port: int) -> None:
    data = bytes(range(256)) * 4000
    with Proxy("127.0.0.1", port) as proxy:
        assert talk(proxy.port, data) == data
        assert talk(proxy.port, b"once more") == b"once more"
        assert proxy.passed == 2 * (len(data) + 9)
        assert not proxy.cut


@pytest.mark.parametrize("limit", [0, 1, 1500])
def test_the_line_is_cut_after_the_limit_and_no_other_is_taken(port: int, limit: int) -> None:
    with Proxy("127.0.0.1", port, limit=limit) as proxy:
        heard = talk(proxy.port, b"x" * 100_000)
        assert len(heard) <= limit
        assert proxy.cut
        assert proxy.passed == limit
        assert talk(proxy.port, b"again") == b""


def test_all_lines_are_cut_at_once(port: int) -> None:
    with Proxy("127.0.0.1", port, limit=100) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as idle:
            idle.sendall(b"hello")
            assert idle.recv(5) == b"hello"
            talk(proxy.port, b"x" * 1000)
            with suppress(ConnectionError):
                assert idle.recv(5) == b""


def test_nobody_listens_after_the_end(port: int) -> None:
    with Proxy("127.0.0.1", port) as proxy:
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=1)


def test_a_server_that_is_not_there_is_a_line_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Proxy("127.0.0.1", port) as proxy:
        assert talk(proxy.port, b"hello") == b""
