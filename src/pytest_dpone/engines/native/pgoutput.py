"""Messages of Postgres' output plugin `pgoutput`, protocol version 1, from bytes.

The format is that of "Logical Replication Message Formats" in the documentation of Postgres. Numbers are big-endian,
names end with a zero byte. What a change log does not need (origins, types, logical messages) becomes None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ...errors import EngineFailed
from .changes import KEPT, Value, Values


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins; `lsn` is where its commit lies in the log."""

    lsn: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction ends."""

    lsn: int
    end: int
    """The place behind the commit."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; `identity`: it is part of what tells rows apart (REPLICA IDENTITY)."""

    name: str
    identity: bool
    oid: int
    modifier: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it is from here on, before the first change to it."""

    oid: int
    namespace: str
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    relation: int
    row: Values


@dataclass(frozen=True, slots=True)
class Update:
    """A changed row; `old` is there if the key changed, and has the key's columns only, or if the identity is FULL."""

    relation: int
    old: Values | None
    row: Values


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that is gone: its key's columns, or all of them if the identity is FULL."""

    relation: int
    old: Values


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    relations: tuple[int, ...]


Message: TypeAlias = Begin | Commit | Relation | Insert | Update | Delete | Truncate


def decode(data: bytes) -> Message | None:
    """The message in `data`; None for one that changes no row. Raises `EngineFailed` for anything but a whole message.

    Texts must be in UTF-8, as they are in a database with that encoding.
    """
    reader = _Reader(data)
    try:
        kind = reader.letter()
        if kind in _IGNORED:
            return None
        message = _READERS[kind](reader)
    except (KeyError, struct.error, ValueError) as error:
        raise _unreadable(data, str(error) or type(error).__name__) from None
    if reader.left:
        raise _unreadable(data, f"{reader.left} bytes are left over")
    return message


class _Reader:
    """A place in the bytes of one message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from(f">{code}", self._data, self._at)
        self._at += struct.calcsize(code)
        return int(value)

    def letter(self) -> str:
        return chr(self.number("B"))

    def name(self) -> str:
        end = self._data.index(b"\0", self._at)
        start, self._at = self._at, end + 1
        return self._data[start:end].decode()

    def text(self) -> str:
        length = self.number("i")
        if not 0 <= length <= self.left:
            raise ValueError(f"a text of {length} bytes in {self.left}")
        start, self._at = self._at, self._at + length
        return self._data[start : self._at].decode()

    def values(self) -> Values:
        return tuple(self._value() for _ in range(self.number("h")))

    def _value(self) -> Value:
        kind = self.letter()
        if kind == "t":
            return self.text()
        return {"n": None, "u": KEPT}[kind]

    def expect(self, letters: str) -> str:
        found = self.letter()
        if found not in letters:
            raise ValueError(f"{found!r} where one of {letters!r} must be")
        return found


def _begin(reader: _Reader) -> Begin:
    lsn = reader.number("Q")
    reader.number("q")  # when
    reader.number("I")  # the transaction's id
    return Begin(lsn)


def _commit(reader: _Reader) -> Commit:
    reader.number("B")  # flags, none of which is in use
    lsn, end = reader.number("Q"), reader.number("Q")
    reader.number("q")  # when
    return Commit(lsn, end)


def _relation(reader: _Reader) -> Relation:
    oid, namespace, name = reader.number("I"), reader.name(), reader.name()
    reader.letter()  # the kind of identity: the columns say what belongs to it
    return Relation(oid, namespace, name, tuple(_column(reader) for _ in range(reader.number("h"))))


def _column(reader: _Reader) -> Column:
    flags = reader.number("B")
    return Column(reader.name(), bool(flags & 1), reader.number("I"), reader.number("i"))


def _insert(reader: _Reader) -> Insert:
    relation = reader.number("I")
    reader.expect("N")
    return Insert(relation, reader.values())


def _update(reader: _Reader) -> Update:
    relation = reader.number("I")
    old = None
    if reader.expect("KON") != "N":
        old = reader.values()
        reader.expect("N")
    return Update(relation, old, reader.values())


def _delete(reader: _Reader) -> Delete:
    relation = reader.number("I")
    reader.expect("KO")
    return Delete(relation, reader.values())


def _truncate(reader: _Reader) -> Truncate:
    count = reader.number("I")
    reader.number("B")  # CASCADE and RESTART IDENTITY: what they did elsewhere comes by itself
    return Truncate(tuple(reader.number("I") for _ in range(count)))


_IGNORED = "OYM"
_READERS: Mapping[str, Callable[[_Reader], Message]] = MappingProxyType(
    {
        "B": _begin,
        "C": _commit,
        "R": _relation,
        "I": _insert,
        "U": _update,
        "D": _delete,
        "T": _truncate,
    }
)


def _unreadable(data: bytes, why: str) -> EngineFailed:
    # the bytes themselves are a user's rows, which do not belong into a message
    return EngineFailed(
        f"a message of pgoutput of {len(data)} bytes and the kind {data[:1]!r} can't be read: {why}",
        hint="the log must be read with protocol version 1; report this as a bug",
    )
