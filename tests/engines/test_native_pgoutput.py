"""The decoder byte by byte, as in "Logical Replication Message Formats" of Postgres' documentation."""

from __future__ import annotations

import pytest

from pytest_dpone.engines.native.changes import KEPT
from pytest_dpone.engines.native.pgoutput import (
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Truncate,
    Update,
    decode,
)
from pytest_dpone.errors import EngineFailed

LSN = bytes.fromhex("00000016b374d848")
END = bytes.fromhex("00000016b374d880")
WHEN = bytes.fromhex("0002a1b2c3d4e5f6")
OID = bytes.fromhex("00004001")
ONE = b"t\0\0\0\x011"  # the text 1
ROW = b"\0\x04" + ONE + b"n" + b"u" + b"t\0\0\0\x05\xc3\xa9 \xc3\xa9"
TOLD = ("1", None, KEPT, "é é")

MESSAGES: list[tuple[bytes, Message | None]] = [
    (b"B" + LSN + WHEN + b"\0\0\x02\x9a", Begin(0x16_B374D848)),
    (b"C\0" + LSN + END + WHEN, Commit(0x16_B374D848, 0x16_B374D880)),
    (
        b"R" + OID + b"shop\0orders\0" + b"d" + b"\0\x02"
        b"\x01id\0\0\0\0\x14\xff\xff\xff\xff"
        b"\0pr ice\0\0\0\x06\xa4\0\x26\0\x0e",
        Relation(
            0x4001,
            "shop",
            "orders",
            (Column("id", True, 20, -1), Column("pr ice", False, 1700, (38 << 16 | 10) + 4)),
        ),
    ),
    (b"R" + OID + b"\0t\0f\0\0", Relation(0x4001, "", "t", ())),
    (b"I" + OID + b"N" + ROW, Insert(0x4001, TOLD)),
    (b"I" + OID + b"N\0\x01t\0\0\0\0", Insert(0x4001, ("",))),
    (b"U" + OID + b"N" + ROW, Update(0x4001, None, TOLD)),
    (b"U" + OID + b"K\0\x02" + ONE + b"n" + b"N" + ROW, Update(0x4001, ("1", None), TOLD)),
    (b"U" + OID + b"O\0\x01" + ONE + b"N" + ROW, Update(0x4001, ("1",), TOLD)),
    (b"D" + OID + b"K\0\x01" + ONE, Delete(0x4001, ("1",))),
    (b"D" + OID + b"O\0\x01" + ONE, Delete(0x4001, ("1",))),
    (b"T\0\0\0\x02\x03" + OID + b"\0\0\x40\x02", Truncate((0x4001, 0x4002))),
    (b"O" + LSN + b"elsewhere\0", None),
    (b"Y" + OID + b"shop\0mood\0", None),
    (b"M\0" + LSN + b"prefix\0\0\0\0\x01x", None),
]


@pytest.mark.parametrize(("data", "message"), MESSAGES)
def test_each_message(data: bytes, message: Message | None) -> None:
    assert decode(data) == message


@pytest.mark.parametrize("data", [data for data, message in MESSAGES if message is not None])
def test_a_message_that_is_cut_or_too_long_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(EngineFailed, match="can't be read"):
            decode(data[:length])
    with pytest.raises(EngineFailed, match="1 bytes are left over"):
        decode(data + b"\0")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"S" + OID, "'S'"),  # a streamed transaction, of a version that was not asked for
        (b"I" + OID + b"K" + ROW, "'K' where one of 'N' must be"),
        (b"U" + OID + b"X" + ROW, "'X' where one of 'KON' must be"),
        (b"D" + OID + b"N" + ROW, "'N' where one of 'KO' must be"),
        (b"I" + OID + b"N\0\x01b\0\0\0\x01x", "'b'"),  # binary, which was not asked for
        (b"I" + OID + b"N\0\x01t\xff\xff\xff\xff", "a text of -1 bytes in 0"),
        (b"I" + OID + b"N\0\x01t\0\0\0\x01\xe9", "utf-8"),
    ],
)
def test_what_must_not_come_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(EngineFailed, match="can't be read") as caught:
        decode(data)
    assert why in str(caught.value)
