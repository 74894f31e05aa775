"""What chDB's results need before they are what a ClickHouse server would send."""

from __future__ import annotations

import struct
from collections.abc import Sequence

STREAMED = frozenset(("Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow", "ArrowStream"))
"""Formats whose blocks can be sent one after the other."""
_CONTINUATION = b"\xff\xff\xff\xff"
_ARROW_END = _CONTINUATION + b"\0\0\0\0"


class NativeZones:
    """Puts back the time zone of `DateTime('zone')` columns, which chDB's Native format leaves out."""

    def __init__(self, columns: Sequence[Sequence[str]]) -> None:
        """`columns`: (name, type) in order, as DESCRIBE gives them."""
        self._columns = [(name, kind) for name, kind in columns if kind.startswith("DateTime(")]

    def restore(self, block: bytes) -> bytes:
        """`block` (of one or no Native block) with full types. Columns are searched in order, each behind the last."""
        parts = []
        start = 0
        for name, kind in self._columns:
            head = _text(name)
            position = block.find(head + _text("DateTime"), start)
            if position < 0:
                continue
            parts += [block[start:position], head + _text(kind)]
            start = position + len(head) + len(_text("DateTime"))
        return b"".join((*parts, block[start:])) if parts else block


class Joiner:
    """Joins blocks that were formatted one by one: an Arrow stream has one schema and one end, not one a block."""

    def __init__(self, form: str, zones: NativeZones) -> None:
        self.form = form
        self._zones = zones
        self._first = True

    def add(self, block: bytes) -> bytes:
        """The part of `block` that goes out now."""
        if self.form != "ArrowStream":
            return self._zones.restore(block)
        first, self._first = self._first, False
        start = 0 if first else _schema_length(block)
        return block[start : len(block) - len(_ARROW_END)] if block.endswith(_ARROW_END) else block[start:]

    def end(self) -> bytes:
        """What goes out after the last block."""
        return _ARROW_END if self.form == "ArrowStream" else b""


def _schema_length(stream: bytes) -> int:
    """Bytes of the first message of an Arrow stream: its marker, the length, and so much metadata; it has no body."""
    if stream[:4] != _CONTINUATION:
        raise ValueError("not an Arrow stream")
    return 8 + int(struct.unpack_from("<i", stream, 4)[0])


def _text(value: str) -> bytes:
    """A string as the Native format writes it: its length as a LEB128 number, then its bytes."""
    data = value.encode()
    length = len(data)
    prefix = bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*prefix, length)) + data
