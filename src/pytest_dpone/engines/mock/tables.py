"""One table in memory: an Arrow file that is replaced as a whole, with its rows, their commits and the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from ...core.wire import Endpoint
from ...errors import EngineFailed, UsageError

_COMMIT = "__dpone_commit"
_LAST = b"dpone.commit"
_STATE = "dpone.state."


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds. `commits` has for each row the number of the commit that wrote it, `last` is the latest."""

    rows: pa.Table
    commits: pa.ChunkedArray
    last: int = 0
    state: str = ""

    @classmethod
    def empty(cls, schema: pa.Schema) -> Content:
        """Of a table that is not there yet."""
        return cls(schema.empty_table(), pa.chunked_array([], pa.int64()))


class TableFile:
    """The file of one endpoint. Raises `UsageError` for an address that is not in memory."""

    def __init__(self, endpoint: Endpoint, *, state: str) -> None:
        address = urlsplit(endpoint.url.get_secret_value())
        if address.scheme != "memory":
            raise UsageError(
                f"the engine mock moves rows in memory only, and {endpoint.family} is a service",
                hint="give --dpone-run-mode=mock_local, or another engine",
            )
        folder = Path(unquote(address.path)) / quote(endpoint.namespace, safe="")
        self.family = endpoint.family
        self.path = folder / f"{quote(endpoint.table, safe='')}.arrow"
        self._state = f"{_STATE}{state}".encode()

    def content(self) -> Content | None:
        """What is there now, mapped and not copied; None if there is no such table."""
        if not self.path.exists():
            return None
        with pa.memory_map(str(self.path)) as file:
            table = pa.ipc.open_file(file).read_all()
        metadata = table.schema.metadata or {}
        if _COMMIT not in table.column_names:
            raise EngineFailed(f"{self.path.name} is no table in memory", hint=f"each has the column {_COMMIT}")
        rows = table.drop_columns([_COMMIT]).replace_schema_metadata(None)
        state = metadata.get(self._state, b"").decode()
        return Content(rows, table.column(_COMMIT), int(metadata.get(_LAST, b"0")), state)

    def put(self, content: Content, *, batch_rows: int, before: Callable[[], None] | None = None) -> None:
        """Rows and state take the place of what was there, at once for a reader; `before` is called ahead of that."""
        metadata = {_LAST: str(content.last), self._state: content.state}
        table = content.rows.append_column(_COMMIT, content.commits).replace_schema_metadata(metadata)
        fresh = self.path.with_suffix(".staged")
        with pa.OSFile(str(fresh), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=batch_rows)
        if before is not None:
            before()
        fresh.replace(self.path)
