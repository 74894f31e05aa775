"""Record batches (format 2). They stay as the producer made them: only what the checksum leaves out is changed."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cramjam
import crc32c

_HEAD = struct.Struct(">qiibIhiqqqhii")
_BEHIND_CHECKSUM = struct.Struct(">hiqqqhii")
OVERHEAD = _HEAD.size
"""Bytes of a batch before its records."""
_CHECKED_FROM = 21
_CODEC = 0x07
_LOG_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEAD = 16


class InvalidBatchError(ValueError):
    """What a producer sent is not one whole batch of format 2."""


class ChecksumError(InvalidBatchError):
    """The batch was damaged on its way."""


@dataclass(slots=True)
class Batch:
    """One batch at its place in a log. `data` are the bytes as they go to a consumer."""

    base: int
    last: int
    attributes: int
    base_time: int
    max_time: int
    producer: int
    epoch: int
    sequence: int
    count: int
    data: bytes
    stored: float = field(default_factory=time.monotonic)

    @property
    def transactional(self) -> bool:
        """If it is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def control(self) -> bool:
        """If it is a marker that ends a transaction."""
        return bool(self.attributes & _CONTROL)

    @property
    def log_append_time(self) -> bool:
        """If all its records have the broker's time."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def last_sequence(self) -> int:
        """The sequence number of its last record."""
        return (self.sequence + self.last - self.base) & 0x7FFFFFFF

    def records(self) -> Iterator[Record]:
        """Its records, decompressed."""
        return _records(self.body())

    def body(self) -> bytes:
        """The records as bytes, decompressed."""
        return _decompress(self.data[OVERHEAD:], self.attributes & _CODEC)


class Record(NamedTuple):
    """One record inside `Batch.body()`; its key and whether its value is null."""

    start: int
    end: int
    time_delta: int
    offset_delta: int
    key: bytes | None
    tombstone: bool


def parse(data: bytes) -> Batch:
    """The batch that a producer sent, with base offset 0; raises `InvalidBatchError`."""
    if len(data) < OVERHEAD:
        raise ChecksumError("shorter than a batch's head")
    _, length, _, magic, checksum, attributes, last, first_time, max_time, *producer, count = _HEAD.unpack_from(data)
    if magic != 2 or length + 12 != len(data):
        raise InvalidBatchError("not one batch of format 2")
    if crc32c.crc32c(memoryview(data)[_CHECKED_FROM:]) != checksum:
        raise ChecksumError("the checksum is wrong")
    number, epoch, sequence = producer
    return Batch(0, last, attributes, first_time, max_time, number, epoch, sequence, count, data)


def place(batch: Batch, base: int) -> Batch:
    """`batch` at offset `base`, in leader epoch 0; the checksum covers neither."""
    data = b"".join((base.to_bytes(8, "big"), batch.data[8:12], b"\0\0\0\0", batch.data[16:]))
    return replace(batch, base=base, last=base + batch.last - batch.base, data=data)


def stamp(batch: Batch, now: int) -> Batch:
    """`batch` with the broker's time, for topics with LogAppendTime."""
    stamped = replace(batch, attributes=batch.attributes | _LOG_APPEND_TIME, max_time=now)
    return replace(stamped, data=_pack(stamped, batch.data[OVERHEAD:]))


def marker(base: int, producer: int, epoch: int, *, commit: bool, now: int) -> Batch:
    """The control batch that ends a transaction."""
    key, value = struct.pack(">hh", 0, int(commit)), struct.pack(">hi", 0, 0)
    record = b"\0\0\0" + bytes([len(key) << 1]) + key + bytes([len(value) << 1]) + value + b"\0"
    body = bytes([len(record) << 1]) + record
    batch = Batch(base, base, _TRANSACTIONAL | _CONTROL, now, now, producer, epoch, -1, 1, b"")
    return replace(batch, data=_pack(batch, body))


def keep_records(batch: Batch, body: bytes, kept: list[Record]) -> Batch:
    """`batch` with some of its records only; offsets and times stay, and it is not compressed any more."""
    smaller = replace(batch, attributes=batch.attributes & ~_CODEC, count=len(kept))
    return replace(smaller, data=_pack(smaller, b"".join(body[record.start : record.end] for record in kept)))


def _pack(batch: Batch, body: bytes) -> bytes:
    fields = (batch.attributes, batch.last - batch.base, batch.base_time, batch.max_time)
    checked = _BEHIND_CHECKSUM.pack(*fields, batch.producer, batch.epoch, batch.sequence, batch.count) + body
    return struct.pack(">qiibI", batch.base, len(checked) + 9, 0, 2, crc32c.crc32c(checked)) + checked


def _records(body: bytes) -> Iterator[Record]:
    position = 0
    while position < len(body):
        start = position
        length, position = _signed(body, position)
        end = position + length
        time_delta, position = _signed(body, position + 1)  # one byte of unused attributes
        offset_delta, position = _signed(body, position)
        key_length, position = _signed(body, position)
        key = None if key_length < 0 else body[position : position + key_length]
        value_length, _ = _signed(body, position + max(key_length, 0))
        yield Record(start, end, time_delta, offset_delta, key, value_length < 0)
        position = end


def _signed(body: bytes, position: int) -> tuple[int, int]:
    """A zigzag number and the position behind it."""
    result = shift = 0
    while True:
        byte = body[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7


def _decompress(data: bytes, codec: int) -> bytes:
    if codec == _GZIP:
        return zlib.decompress(data, wbits=31)
    if codec == _SNAPPY:
        return _unsnap(data)
    if codec == _LZ4:
        return bytes(cramjam.lz4.decompress(data))
    if codec == _ZSTD:
        return bytes(cramjam.zstd.decompress(data))
    return data


def _unsnap(data: bytes) -> bytes:
    """Snappy, bare or in the frames of Java's library."""
    if not data.startswith(_XERIAL):
        return bytes(cramjam.snappy.decompress_raw(data))
    parts = []
    position = _XERIAL_HEAD
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        position += 4
        parts.append(bytes(cramjam.snappy.decompress_raw(data[position : position + length])))
        position += length
    return b"".join(parts)
