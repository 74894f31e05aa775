"""The change log of a SQL Server table: change tracking, which keeps the keys of changed rows and not their values.

What it tells is the net of all changes since a version. Version, changes and rows are read in one transaction with
SNAPSHOT isolation, so that they fit each other, as Microsoft's documentation asks for. TRUNCATE and the clean-up after
the retention period take the log away; then the table is read whole, and takes the place of what the sink holds.

A table that is emptied by TRUNCATE at the very version at which its tracking began can't be told from one that was not.
"""

# ruff: noqa: S608 - names are quoted by `ident`, values by `literal`

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ...core.wire import Job
from ...errors import EngineFailed
from .address import place, told
from .changes import KEPT, Change, Emptied, Gone, Key, Put, Value, Values
from .mssql import MssqlSource, fetch, ident, incoming, literal, run

_LOG = "change tracking"
_ENABLE = "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)"
_FETCH = 1000


class MssqlLog(MssqlSource):
    """A SQL Server table with its log; implements `LogSource`. A position is `version/version at which it began`."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._known: tuple[int, int, int] | None = None

    @property
    def log(self) -> str:
        """See `LogSource.log`."""
        return _LOG

    def begin(self) -> str:
        """See `LogSource.begin`: tracking is switched on if it is not, then the snapshot begins."""
        with told(self._endpoint, "beginning the change log"):
            self._check_database()
            run(self._connection, "COMMIT TRANSACTION")
            if not self._began():
                run(self._connection, f"ALTER TABLE {self._table} ENABLE CHANGE_TRACKING")
            run(self._connection, "BEGIN TRANSACTION")
            version, began, _ = self._versions()
        return f"{version}/{began}"

    def end(self, since: str) -> str:
        """See `LogSource.end`. A log that is not whole any more is told by `changes`, which begins anew then."""
        with told(self._endpoint, "looking for the end of the change log"):
            self._check_database()
            version, began, _ = self._versions()
        if version < _parsed(since)[0]:
            raise EngineFailed(
                f"the change log of {place(self._endpoint)} is at version {version}, and the state is of {since}",
                hint="the database was restored or made anew: remove the sink's table and its state to load anew",
            )
        return f"{version}/{began}"

    def changes(self, since: str, until: str) -> Iterator[Change]:  # noqa: ARG002 - the snapshot knows its end
        """See `LogSource.changes`."""
        version, began = _parsed(since)
        with told(self._endpoint, "reading the change log"):
            _, begins, oldest = self._versions()
            if began != begins or version < oldest:
                yield Emptied()
                yield from self._whole()
            else:
                yield from self._since(version)

    def decode(self, rows: list[Values], schema: pa.Schema) -> pa.RecordBatch:
        """See `LogSource.decode`."""
        columns = [
            incoming([_value(row[place], field.type) for row in rows], field.type) for place, field in enumerate(schema)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def release(self, position: str) -> None:
        """See `LogSource.release`: the server cleans up by itself, after the retention period."""

    def _check_database(self) -> None:
        if not self._snapshot:
            raise EngineFailed(
                f"the database of {place(self._endpoint)} does not allow SNAPSHOT isolation",
                hint="ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON; master can't be used for this",
            )
        if not fetch(self._connection, "SELECT 1 FROM sys.change_tracking_databases WHERE database_id = DB_ID()"):
            raise EngineFailed(
                f"the database of {place(self._endpoint)} keeps no track of changes",
                hint=f"{_ENABLE}; master can't be used for this",
            )

    def _began(self) -> list[tuple[Any, ...]]:
        """The version at which the table's tracking began, in one row; none if it is not tracked."""
        return fetch(
            self._connection,
            f"SELECT begin_version FROM sys.change_tracking_tables WHERE object_id = OBJECT_ID({literal(self._table)})",
        )

    def _versions(self) -> tuple[int, int, int]:
        """Of this snapshot: the version, the one at which tracking began, the first one from which the log is whole."""
        if self._known is None:
            query = (
                "SELECT CHANGE_TRACKING_CURRENT_VERSION(),"
                f" CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({literal(self._table)}))"
            )
            version, oldest = fetch(self._connection, query)[0]
            began = self._began()
            if version is None or oldest is None or not began:
                raise EngineFailed(
                    f"the change log of {place(self._endpoint)} is off, or the account may not see it",
                    hint="GRANT VIEW CHANGE TRACKING ON the table, or remove the sink's table and state to load anew",
                )
            self._known = int(version), int(began[0][0]), int(oldest)
        return self._known

    def _whole(self) -> Iterator[Change]:
        asked = ", ".join(c.expression for c in self._columns)
        for row in self._rows(f"SELECT {asked} FROM {self._table}"):
            yield Put(_texts(row))

    def _since(self, version: int) -> Iterator[Change]:
        """What has become of each key. The key's columns come from the log, the others from the snapshot."""
        keys = [ident(name) for name in self._job.key]
        same = " AND ".join(f"t.{name} = ct.{name}" for name in keys)
        asked = [c.asked("ct" if c.name in self._job.key else "t") for c in self._columns]
        query = (
            f"SELECT ct.SYS_CHANGE_OPERATION, {', '.join(asked)}"
            f" FROM CHANGETABLE(CHANGES {self._table}, {version}) AS ct LEFT JOIN {self._table} AS t ON {same}"
        )
        places = [self.schema.names.index(name) for name in self._job.key]
        for operation, *values in self._rows(query):
            row = _texts(values)
            yield Gone(_key(row, places)) if operation.strip() == "D" else Put(row)

    def _rows(self, query: str) -> Iterator[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(_FETCH):
                yield from rows


def _parsed(position: str) -> tuple[int, int]:
    version, slash, began = position.partition("/")
    if not (version.isdecimal() and slash and began.isdecimal()):
        raise EngineFailed(
            f"{position!r} is no position in a change log of SQL Server",
            hint="the state belongs to another source: remove it and the sink's table to load anew",
        )
    return int(version), int(began)


def _key(row: Values, places: list[int]) -> Key:
    return tuple(str(row[place]) for place in places)


def _texts(row: Any) -> Values:
    return tuple(map(_text, row))


def _text(value: Any) -> Value:
    """What the driver gives for a value as text; `_value` is the inverse."""
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, str) else repr(value)


def _value(text: Value, kind: pa.DataType) -> Any:
    if text is None or text is KEPT:
        return None
    if pa.types.is_binary(kind):
        return bytes.fromhex(text)
    if pa.types.is_boolean(kind):
        return text == "True"
    if pa.types.is_integer(kind):
        return int(text)
    return float(text) if pa.types.is_floating(kind) else text
