"""The pure parts of the ClickHouse front: joined formats, time zones, bodies."""

from __future__ import annotations

import gzip
import io
import threading
import zlib
from contextlib import nullcontext
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pytest_dpone.services.embedded.chdb_engine import Engine, QueryError, Session, identifier, literal
from pytest_dpone.services.embedded.clickhouse_formats import Joiner, NativeZones
from pytest_dpone.services.embedded.clickhouse_http import _error_text
from pytest_dpone.services.embedded.clickhouse_request import Body, Query
from pytest_dpone.services.table import ZSTD

NO_ZONES = NativeZones(())


def arrow_stream(values: list[int]) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"n": pa.array(values, pa.int64())})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def body(data: bytes, **headers: str) -> Body:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    handler: Any = SimpleNamespace(headers=message, rfile=io.BytesIO(data))
    return Body(handler)


def test_arrow_blocks_become_one_stream() -> None:
    joiner = Joiner("ArrowStream", NO_ZONES)
    data = b"".join([*(joiner.add(arrow_stream(values)) for values in ([1, 2], [3], [4, 5])), joiner.end()])
    with pa.ipc.open_stream(data) as reader:
        assert reader.read_all().column("n").to_pylist() == [1, 2, 3, 4, 5]


def test_other_blocks_are_joined_as_they_are() -> None:
    joiner = Joiner("TSV", NO_ZONES)
    assert joiner.add(b"1\n") + joiner.add(b"2\n") + joiner.end() == b"1\n2\n"


def test_zones_come_back_in_order() -> None:
    def column(name: str, kind: str, data: bytes) -> bytes:
        return bytes([len(name)]) + name.encode() + bytes([len(kind)]) + kind.encode() + data

    zones = NativeZones((("a", "DateTime('Asia/Tokyo')"), ("s", "String"), ("b", "DateTime"), ("c", "DateTime('UTC')")))
    # The text column holds bytes that look like the head of column c.
    block = column("a", "DateTime", b"\0\1\2\3") + column("s", "String", b"x") + column("b", "DateTime", b"\0\0\0\0")
    block += column("c", "DateTime", b"\4\5\6\7")
    expected = column("a", "DateTime('Asia/Tokyo')", b"\0\1\2\3") + column("s", "String", b"x")
    expected += column("b", "DateTime", b"\0\0\0\0") + column("c", "DateTime('UTC')", b"\4\5\6\7")
    assert zones.restore(block) == expected
    assert NO_ZONES.restore(block) is block


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 21) + 3])
def test_a_body_by_length_stops_where_it_ends(size: int) -> None:
    data = b"x" * size
    assert b"".join(body(data + b"next request", Content_Length=str(size))) == data


def test_a_chunked_body() -> None:
    data = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nnext"
    assert b"".join(body(data, Transfer_Encoding="chunked")) == b"abcde"


@pytest.mark.parametrize("encoding", ["gzip", "gz", "deflate", "lz4", "zstd", "zst", "auto", "none"])
def test_a_body_of_several_frames(encoding: str) -> None:
    if encoding == "lz4":
        pack = pytest.importorskip("lz4.frame").compress
    elif encoding in ("auto", "none"):
        pack = bytes
    elif encoding in ("zstd", "zst"):
        pack = pytest.importorskip(ZSTD).compress
    else:
        pack = gzip.compress if encoding in ("gzip", "gz") else zlib.compress
    data = pack(b"first " * 10) + pack(b"second")
    unpacked = b"".join(body(data, Content_Length=str(len(data)), Content_Encoding=encoding))
    assert unpacked == b"first " * 10 + b"second"


def test_an_unknown_packing_is_refused() -> None:
    with pytest.raises(QueryError, match=r"Code: 432\. DB::Exception: Unknown compression br"):
        body(b"", Content_Encoding="br")


def test_a_drained_body_leaves_the_next_request() -> None:
    stream = io.BytesIO(b"abcdefNEXT")
    handler: Any = SimpleNamespace(headers={"Content-Length": "6"}, rfile=stream)
    Body(handler).drain()
    assert stream.read() == b"NEXT"


def test_arguments_are_told_apart() -> None:
    query = Query({"query": "q", "param_a": "1", "max_threads": "2", "session_id": "s", "database": "d"}, "id-1")
    assert query.parameters == {"a": "1"}
    assert query.settings == {"log_comment": "id-1", "max_threads": "2"}


class Handle:
    def __init__(self) -> None:
        self.statements: list[str] = []

    def query(self, statement: str) -> None:
        self.statements.append(statement)


def test_settings_of_a_request_do_not_stay() -> None:
    handle = Handle()
    session = Session(handle)
    session.prepare("d`b", {"max_threads": "1", "log_comment": "it's"})
    session.prepare("d`b", {"max_threads": "1"})
    session.prepare("", {})
    assert handle.statements == [
        "USE `d\\`b`",
        "SET max_threads = '1', log_comment = 'it\\'s'",
        "SET log_comment = DEFAULT",
        "SET max_threads = DEFAULT",
    ]


@pytest.mark.parametrize(("seconds", "told"), [(0.05, ""), (5.0, "SESSION_IS_LOCKED")])
def test_a_session_may_be_let_go_a_moment_after_its_answer(seconds: float, told: str) -> None:
    engine = object.__new__(Engine)
    held = Session(Handle())
    engine._sessions, engine._lock = {"mine": held}, threading.Lock()
    held.lock.acquire()
    timer = threading.Timer(seconds, held.lock.release)
    timer.start()
    try:
        with pytest.raises(QueryError, match=told) if told else nullcontext():
            assert engine._sticky("mine", 60.0, must_exist=True) is held
    finally:
        timer.cancel()


def test_a_setting_can_not_smuggle_sql() -> None:
    handle = Handle()
    with pytest.raises(QueryError, match="Unknown setting"):
        Session(handle).prepare("", {"a = 1, b": "2"})
    assert handle.statements == []


def test_quoting() -> None:
    assert literal("a'b\\c") == "'a\\'b\\\\c'"
    assert identifier("a`b\\c") == "`a\\`b\\\\c`"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RuntimeError("Streaming query failed: Code: 395. DB::Exception: no"), 395, "Code: 395. DB::Exception: no"),
        (QueryError(516, "NAME", "text"), 516, "Code: 516. DB::Exception: text. (NAME)"),
        (KeyError("x"), 1002, "Code: 1002. DB::Exception: KeyError('x'). (UNKNOWN_EXCEPTION)"),
    ],
)
def test_errors_take_the_servers_form(error: Exception, code: int, text: str) -> None:
    assert _error_text(error, "26.9") == (code, f"{text} (version 26.9 (chDB))")
