"""ClickHouse's HTTP interface over the in-process engine."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..ask import STAND_IN
from .chdb_engine import Engine, QueryError, Session, identifier
from .clickhouse_formats import STREAMED, Joiner, NativeZones
from .clickhouse_request import Body, Query, read_form

EMULATED = "HTTP transport; no users, replication, transactions, native TCP, asynchronous inserts or client query ids"

_GAP = rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_INSERT = re.compile(
    _GAP + rb"(INSERT\s+INTO\s(?:'(?:\\.|[^'\\])*'|`[^`]*`|\"[^\"]*\"|"
    rb"(?!\b(?:VALUES|SELECT|WITH|WATCH|INFILE)\b)[^'`\"])*?)\bFORMAT\s+(?!Values\b)(\w+)[ \t\r;]*(?:\n|$)",
    re.IGNORECASE | re.DOTALL,
)
_ROWS = re.compile(
    _GAP + rb"(?:\(|(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK|FROM|VALUES)\b)", re.IGNORECASE | re.DOTALL
)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_STATUS = {516: 403, 497: 403, 60: 404, 81: 404, 46: 404, 62: 400, 47: 404, 48: 501, 159: 408, 202: 503}
_WHOLE = 4 << 20
"""Bytes of a result up to which it is sent in one piece, with a complete summary."""


@dataclass(frozen=True)
class Front:
    """What all requests share."""

    engine: Engine
    user: str
    password: str


class Handler(BaseHTTPRequestHandler):
    """One connection. A subclass made by `serve` has the `front`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: Front

    def do_GET(self) -> None:
        """Answer any method: ClickHouse decides by the query, not by the method."""
        url = urlsplit(self.path)
        if url.path in ("/ping", "/replicas_status") or (url.path == "/" and not url.query and self.command != "POST"):
            self._send(200, b"Ok.\n", {})
            return
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        query = Query(arguments, arguments.get("query_id") or str(uuid.uuid4()))
        body: Body | None = None
        try:
            body = Body(self)
            self._authorise(arguments)
            if self.headers.get("Content-Type", "").startswith("multipart/form-data"):
                read_form(query, self.headers["Content-Type"], body)
            self._run(query, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:  # every error of the engine becomes an answer in ClickHouse's form
            self._send_error(error, query, body)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the base class asks for these names

    def log_message(self, *_: object) -> None:
        """Say nothing: thousands of requests are normal."""

    def _authorise(self, arguments: Mapping[str, str]) -> None:
        user = arguments.get("user", self.headers.get("X-ClickHouse-User", "default"))
        password = arguments.get("password", self.headers.get("X-ClickHouse-Key", ""))
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:]).decode().partition(":")
        right = hmac.compare_digest(password.encode(), self.front.password.encode())
        if user != self.front.user or not right:
            raise QueryError(
                516,
                "AUTHENTICATION_FAILED",
                "Authentication failed: password is incorrect, or there is no user with such name",
            )

    def _run(self, query: Query, body: Body) -> None:
        arguments = query.arguments
        timeout = float(arguments.get("session_timeout", 60))
        must_exist = arguments.get("session_check") == "1"
        with self.front.engine.session(
            arguments.get("session_id", ""), timeout=timeout, must_exist=must_exist
        ) as session:
            database = arguments.get("database") or self.headers.get("X-ClickHouse-Database") or ""
            session.prepare(database, query.settings)
            try:
                for name, (structure, form, data) in query.external.items():
                    session.connection.query(f"CREATE TEMPORARY TABLE {identifier(name)} ({structure})")
                    _insert(session, f"INSERT INTO {identifier(name)}", form, (data,))
                self._execute(session, query, body)
            finally:
                for name in query.external:
                    session.connection.query(f"DROP TEMPORARY TABLE IF EXISTS {identifier(name)}")

    def _execute(self, session: Session, query: Query, body: Body) -> None:
        chunks = iter(body)
        statement = query.arguments.get("query", "").encode()
        if not _INSERT.match(statement):  # the statement starts in the body, or is the body
            statement += (b"\n" if statement else b"") + next(chunks, b"")
        if found := _INSERT.match(statement):
            rest = statement[found.end() :]
            data = itertools.chain((rest,) if rest else (), chunks)
            result = _insert(session, found[1].decode(), found[2].decode(), data)
            summary = {"read_rows": result.rows_written, "written_rows": result.rows_written}
            summary |= {"written_bytes": result.bytes_written, "elapsed_ns": int(result.elapsed * 1e9)}
            self._send(200, b"", self._headers(query, summary))
            return
        self._select(session, query, statement + b"".join(chunks))

    def _select(self, session: Session, query: Query, statement: bytes) -> None:
        named = _FORMAT.search(statement)
        default = query.arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        form = named[1].decode() if named else default
        has_rows = _ROWS.match(statement) is not None
        # Asked before the query starts: a second query on the handle would end a result that is being streamed.
        zones = self._zones(session, query, statement) if has_rows and form == "Native" else NativeZones(())
        if has_rows and form in STREAMED and self._stream(session, query, statement, Joiner(form, zones)):
            return
        started = time.monotonic()
        result = session.connection.query(statement.decode(), form, params=query.parameters)
        data = zones.restore(result.bytes())
        headers = self._headers(query, _summary([result], time.monotonic() - started))
        if data or has_rows:  # a format on the answer to a statement without rows would make clients parse nothing
            headers["X-ClickHouse-Format"] = form
        self._send(200, data, headers)

    def _stream(self, session: Session, query: Query, statement: bytes, joiner: Joiner) -> bool:
        """Send a result block by block, so that memory stays bounded. False: not possible, nothing was sent."""
        started = time.monotonic()
        try:
            stream = session.connection.send_query(statement.decode(), joiner.form, params=query.parameters)
        except RuntimeError as error:
            if "Streaming query is not supported" in str(error):
                return False
            raise
        try:
            blocks = iter(stream)
            first, seen = _take(blocks, joiner)
            if not seen:
                return False  # an empty stream has no header, which clients need
            headers = self._headers(query, _summary(seen, time.monotonic() - started))
            headers["X-ClickHouse-Format"] = joiner.form
            if len(first) <= _WHOLE:
                self._send(200, first + joiner.end(), headers)
            else:
                self._send_stream(first, blocks, joiner, headers)
            return True
        finally:
            stream.close()

    def _send_stream(self, first: bytes, blocks: Iterator[Any], joiner: Joiner, headers: Mapping[str, str]) -> None:
        tag = uuid.uuid4().hex[:16]
        self._start_chunks({**headers, "X-ClickHouse-Exception-Tag": tag})
        self._chunk(first)
        try:
            for block in blocks:
                self._chunk(joiner.add(block.bytes()))
            self._chunk(joiner.end())
            self.wfile.write(b"0\r\n\r\n")
        except RuntimeError as error:  # rows are out already: tell in the body, and break the connection
            text = _error_text(error, self.front.engine.version)[1]
            self._chunk(f"\r\n__exception__\r\n{tag}\r\n{text}\r\n{len(text)} {tag}\r\n__exception__\r\n".encode())
            self.close_connection = True

    def _zones(self, session: Session, query: Query, statement: bytes) -> NativeZones:
        inner = _FORMAT.sub(b"", statement).decode()
        try:
            answer = session.connection.query(f"DESCRIBE ({inner}\n)", "TSVRaw", params=query.parameters).bytes()
        except RuntimeError:
            return NativeZones(())  # SHOW, EXISTS and their like can't be described, and have no such columns
        return NativeZones(tuple(line.split("\t")[:2] for line in answer.decode().splitlines()))

    def _headers(self, query: Query, summary: Mapping[str, int]) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": query.query_id,
            "X-ClickHouse-Timezone": self.front.engine.timezone,
            "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()}),
            STAND_IN: f"engine; {EMULATED}",
        }

    def _send_error(self, error: Exception, query: Query, body: Body | None) -> None:
        code, text = _error_text(error, self.front.engine.version)
        if body is not None:
            body.drain()
        headers = {"X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Query-Id": query.query_id}
        self._send(_STATUS.get(code, 500), text.encode() + b"\n", headers)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _start_chunks(self, headers: Mapping[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode())
            self.wfile.write(data)
            self.wfile.write(b"\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def http_server(front: Front, port: int) -> ThreadingHTTPServer:
    """A server for `front` on 127.0.0.1, bound and not yet serving; port 0 takes a free one."""
    return _Server(("127.0.0.1", port), type("BoundHandler", (Handler,), {"front": front}))


def _insert(session: Session, head: str, form: str, data: Iterable[bytes]) -> Any:
    with session.connection.send_insert(head, form) as inserter:
        for piece in data:
            inserter.append(piece)
        return inserter.finish()


def _take(blocks: Iterator[Any], joiner: Joiner) -> tuple[bytes, list[Any]]:
    """The start of a result, just longer than `_WHOLE` if there is that much, and the blocks that it is made of."""
    parts: list[bytes] = []
    seen: list[Any] = []
    for block in blocks:
        seen.append(block)
        parts.append(joiner.add(block.bytes()))
        if sum(map(len, parts)) > _WHOLE:
            break
    return b"".join(parts), seen


def _summary(results: list[Any], seconds: float) -> dict[str, int]:
    last = results[-1]  # what was read and written is counted from the start, rows are counted by block
    return {
        "read_rows": last.storage_rows_read(),
        "read_bytes": last.storage_bytes_read(),
        "written_rows": last.rows_written(),
        "written_bytes": last.bytes_written(),
        "result_rows": sum(result.rows_read() for result in results),
        "elapsed_ns": int(seconds * 1e9),
    }


def _error_text(error: Exception, version: str) -> tuple[int, str]:
    """(code, text) in ClickHouse's form."""
    text = str(error)
    if "Code: " in text:
        text = text[text.index("Code: ") :]
    else:
        text = f"Code: 1002. DB::Exception: {error!r}. (UNKNOWN_EXCEPTION)"
    if "(version" not in text:
        text += f" (version {version} (chDB))"
    found = re.match(r"Code: (\d+)", text)
    return int(found[1]) if found else 1002, text
