"""Postgres' COPY … TO STDOUT: quoted names, the statement, and its rows in bounded lists."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import UsageError
from .pgtext import Reading

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_CHUNK_BYTES = 8 << 20
_COLLATED = ("text", "character varying", "character", "name")


def quoted(*parts: str) -> sql.Identifier:
    """A quoted name. Raises `UsageError` for one that Postgres would cut off or can't hold."""
    from psycopg import sql

    for part in parts:
        if not part or "\0" in part or len(part.encode()) > 63:
            raise UsageError(f"{part!r} can't be a name in Postgres", hint="names have 1 to 63 bytes and no NUL")
    return sql.Identifier(*parts)


def quoted_list(names: Iterable[str]) -> sql.Composed:
    """Quoted names with commas between."""
    from psycopg import sql

    return sql.SQL(", ").join(quoted(name) for name in names)


def copy_statement(
    target: sql.Composable,
    readings: Sequence[Reading],
    order_by: Mapping[str, str],
    *,
    names: Sequence[sql.Composable] | None = None,
) -> sql.Composable:
    """`COPY (SELECT … ORDER BY …) TO STDOUT` with text compared by its bytes; `order_by` is column → native type."""
    from psycopg import sql

    given = names or [quoted(r.field.name) for r in readings]
    columns = sql.SQL(", ").join(sql.SQL(r.sql).format(name) for r, name in zip(readings, given, strict=True))
    query = sql.SQL("SELECT {} FROM {} AS t").format(columns, target)
    if order_by:
        terms = [_order_term(name, native) for name, native in order_by.items()]
        query = sql.SQL("{} ORDER BY {}").format(query, sql.SQL(", ").join(terms))
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)


def _order_term(name: str, native: str) -> sql.Composable:
    # With the alias: a bare name would mean the expression of that name in the select list.
    from psycopg import sql

    if native in ("json", "jsonb"):
        return sql.SQL('t.{}::text COLLATE "C" NULLS LAST').format(quoted(name))
    collate = ' COLLATE "C"' if native.split("(")[0] in _COLLATED else ""
    return sql.SQL("t.{}" + collate + " NULLS LAST").format(quoted(name))


def copy_out(connection: psycopg.Connection, query: sql.Composable, batch_rows: int) -> Iterator[list[bytes]]:
    """Lists of CSV rows of a COPY … TO STDOUT, at most `batch_rows` rows and about 8 MiB each.

    Works on libpq's level: the server sends a message per row, and psycopg's own iterator takes a fifth longer.
    """
    from psycopg import errors, pq

    link = connection.pgconn
    link.send_query(query.as_string(connection).encode())
    while link.flush():
        _wait(link, select.POLLIN | select.POLLOUT)
    while link.is_busy():
        _wait(link)
    started = link.get_result()
    if started is None or started.status != pq.ExecStatus.COPY_OUT:
        raise errors.error_from_result(started) if started else errors.InternalError("COPY gave no result")
    rows: list[bytes] = []
    size = 0
    while (received := link.get_copy_data(1))[0] >= 0:
        length, row = received
        if length == 0:
            _wait(link)
            continue
        rows.append(bytes(row))
        size += length
        if len(rows) >= batch_rows or size >= _CHUNK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
    # An error in the middle of the rows comes after them; it must not look like their end.
    while ended := link.get_result():
        if ended.status != pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(ended)


def _wait(link: psycopg.pq.abc.PGconn, events: int = select.POLLIN) -> None:
    poll = select.poll()
    poll.register(link.socket, events)
    poll.poll()
    link.consume_input()
