"""A few requests made by hand, for what a well-behaved client never does."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

import crc32c

from pytest_dpone.services.kafka_address import parse_address


class RawProducer:
    """An idempotent producer that chooses its own sequence numbers."""

    def __init__(self, url: str) -> None:
        address = parse_address(url)
        self._connection = socket.create_connection(address.servers[0], 10)
        self._id = self._epoch = -1
        if address.user:
            self._call(17, 1, _text("PLAIN"))
            answer = self._call(36, 1, _bytes(f"\0{address.user}\0{address.password}".encode()))
            assert answer[:2] == b"\0\0"

    def init(self) -> None:
        """Get a producer id."""
        answer = self._call(22, 1, struct.pack(">hi", -1, 60000))
        _, error, self._id, self._epoch = struct.unpack(">ihqh", answer)
        assert error == 0

    def send(self, topic: str, sequence: int, count: int = 1, *, damaged: bool = False) -> tuple[int, int]:
        """Produce one batch; gives (error, base offset)."""
        batch = _batch(self._id, self._epoch, sequence, count, damaged=damaged)
        head = struct.pack(">hhii", -1, -1, 5000, 1) + _text(topic) + struct.pack(">ii", 1, 0)
        answer = self._call(0, 3, head + _bytes(batch))
        _, error, offset = struct.unpack_from(">ihq", answer, 4 + 2 + len(topic) + 4)
        return error, offset

    def join_and_vanish(self, group: str, topic: str) -> None:
        """Become the first member of a group, and never be heard of again."""
        subscription = struct.pack(">hi", 0, 1) + _text(topic) + struct.pack(">i", -1)
        body = _text(group) + struct.pack(">ii", 6000, 6000) + _text("") + _text("consumer") + struct.pack(">i", 1)
        answer = self._call(11, 2, body + _text("range") + _bytes(subscription))
        assert answer[4:6] == b"\0\0"
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def _call(self, key: int, version: int, body: bytes) -> bytes:
        message = struct.pack(">hhi", key, version, 1) + _text("raw") + body
        self._connection.sendall(struct.pack(">i", len(message)) + message)
        return self._receive(int.from_bytes(self._receive(4), "big"))[4:]

    def _receive(self, count: int) -> bytes:
        data = self._connection.recv(count, socket.MSG_WAITALL)
        assert len(data) == count
        return data


def _batch(producer: int, epoch: int, sequence: int, count: int, *, damaged: bool) -> bytes:
    time = 1_700_000_000_000
    records = [b"\0\0" + bytes([index << 1]) + b"\x01\x02v\0" for index in range(count)]
    body = b"".join(bytes([len(record) << 1]) + record for record in records)
    tail = struct.pack(">hiqqqhii", 0, count - 1, time, time, producer, epoch, sequence, count) + body
    return struct.pack(">qiibI", 0, len(tail) + 9, -1, 2, crc32c.crc32c(tail) ^ damaged) + tail


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _bytes(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data
