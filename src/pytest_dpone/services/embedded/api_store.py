"""The tables of the API: rows in an order of their own, a version that each change moves on, and views of them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ...core.kinds import TableSchema
from ..catalog.shape import among
from .api_faults import Conduct

PAGES = 8
"""So many pages at least has a listing that has as many rows."""
LARGEST_PAGE = 1000


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Filter:
    """Which rows a listing has: all, or those that meet what is given."""

    since: str | None = None
    """Rows with cursor ≥ this value."""
    days: tuple[str, ...] = ()
    """Rows whose day lies in one of these intervals, `first/stop`, without the day `stop`."""

    @property
    def everything(self) -> bool:
        """If no row is left out."""
        return self.since is None and not self.days


@dataclass
class Table:
    """One table. Rows keep their places but for `stir`, which moves one row: what a change may do in any store."""

    schema: TableSchema
    rows: pa.Table
    version: int = 1
    stirred: bool = False
    """If rows have moved since the last change."""
    _view: tuple[tuple[int, Filter], pa.Table] | None = None

    @property
    def etag(self) -> str:
        """The version, as HTTP has it."""
        return f'"v{self.version}"'

    def put(self, rows: pa.Table) -> None:
        """New content: a new version."""
        self.rows, self.version, self.stirred = rows, self.version + 1, False

    def stir(self) -> None:
        """The first row moves behind the last one. Same rows, another version: pages by offset no longer fit."""
        self.rows = pa.concat_tables([self.rows.slice(1), self.rows.slice(0, 1)])
        self.version, self.stirred = self.version + 1, True

    def change(self, deletes: pa.Table, updates: pa.Table, inserts: pa.Table) -> None:
        """One commit: updated rows move to the end, where inserted ones are."""
        key = list(self.schema.key)
        gone = pa.concat_tables([deletes.select(key), updates.select(key)])
        kept = self.rows.filter(pc.invert(among(self.rows, gone, key))) if gone.num_rows else self.rows
        if (found := self.rows.num_rows - kept.num_rows) != gone.num_rows:
            raise ApiError(409, f"a commit names {gone.num_rows} rows by their keys and {found} of them are here")
        self.put(pa.concat_tables([kept, updates, inserts]))

    def view(self, asked: Filter) -> pa.Table:
        """The rows that were asked for; the last answer is remembered, since its pages are asked one by one."""
        name = (self.version, asked)
        if self._view is None or self._view[0] != name:
            self._view = (name, self._filtered(asked))
        return self._view[1]

    def _filtered(self, asked: Filter) -> pa.Table:
        rows = self.rows
        if asked.since is not None:
            column = rows.column(self.schema.cursor)
            rows = rows.filter(pc.greater_equal(column, _value(asked.since, column.type)))
        if asked.days:
            column = rows.column(self.schema.partition)
            hits = [_between(column, interval) for interval in asked.days]
            hit = hits[0]
            for other in hits[1:]:
                hit = pc.or_(hit, other)
            rows = rows.filter(hit)
        return rows


def _value(text: str, kind: pa.DataType) -> pa.Scalar:
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowInvalid:
        raise ApiError(400, f"{text!r} is no value of the type {kind}") from None


def _between(column: pa.ChunkedArray, interval: str) -> pa.ChunkedArray:
    first, _, stop = interval.partition("/")
    try:
        low, high = pa.scalar(dt.date.fromisoformat(first)), pa.scalar(dt.date.fromisoformat(stop))
    except ValueError:
        raise ApiError(400, f"{interval!r} is no interval of days, such as 2024-01-01/2024-02-01") from None
    return pc.fill_null(pc.and_(pc.greater_equal(column, low), pc.less(column, high)), False)


@dataclass(frozen=True)
class Page:
    """A part of a listing. `next` is where the following page begins, None behind the last one."""

    rows: pa.Table
    total: int
    next: int | None


def page_of(rows: pa.Table, start: int, limit: int) -> Page:
    """At most `limit` rows from `start` on; fewer, so that a listing has several pages."""
    size = min(limit, LARGEST_PAGE, max(1, -(-rows.num_rows // PAGES)))
    stop = start + size
    return Page(rows.slice(start, size), rows.num_rows, stop if stop < rows.num_rows else None)


def to_cursor(version: int, position: int, asked: Filter) -> str:
    """A place in a listing of one version, as text that a client does not look into."""
    data = json.dumps([version, position, asked.since, asked.days])
    return base64.urlsafe_b64encode(data.encode()).decode()


def from_cursor(text: str, asked: Filter) -> tuple[int, int]:
    """(version, position). Raises `ApiError` for a text that is no cursor of such a listing."""
    try:
        version, position, since, days = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError):
        raise ApiError(400, "this is no cursor") from None
    if (since, tuple(days)) != (asked.since, asked.days):
        raise ApiError(400, "the cursor belongs to a listing with another filter")
    return int(version), int(position)


@dataclass
class Space:
    """The tables of one namespace, and how their client behaves."""

    tables: dict[str, Table] = field(default_factory=dict)
    conduct: Conduct = field(default_factory=Conduct)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def table(self, name: str) -> Table:
        """The table called `name`, or 404."""
        if name not in self.tables:
            raise ApiError(404, f"there is no table {name!r}")
        return self.tables[name]
