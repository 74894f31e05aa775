"""dlt's ClickHouse destination over HTTP: an address here names the HTTP port, and dlt's own driver speaks TCP only.

dlt's SQL is sent as dlt wrote it; only its way to the server is another one. Files it loads by HTTP itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ...core.wire import Endpoint

_ANSWERS = re.compile(r"\s*(?:SELECT|WITH|SHOW|DESC|EXISTS)\b", re.I)


def destination(sink: Endpoint) -> Any:
    """dlt's ClickHouse destination for the database of `sink`."""
    import dlt
    from dlt.destinations.impl.clickhouse import clickhouse, sql_client

    parts = urlsplit(sink.url.get_secret_value())
    secure = parts.scheme.endswith("s")
    account: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port,
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "secure": secure,
    }

    class OverHttp(sql_client.ClickHouseSqlClient):  # type: ignore[misc]
        def open_connection(self) -> Any:
            self._conn = Connection(account, sink.namespace)
            return self._conn

    clickhouse.ClickHouseSqlClient = OverHttp
    http = {**account, "http_port": parts.port, "secure": int(secure), "database": sink.namespace}
    return dlt.destinations.clickhouse(credentials=http)


class Connection:
    """As much of a DB-API connection as dlt uses."""

    def __init__(self, account: Mapping[str, Any], database: str) -> None:
        import clickhouse_connect

        self._client = clickhouse_connect.get_client(**account, database=database, autogenerate_session_id=False)

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._client)

    def commit(self) -> None:
        """Each statement is committed already."""

    def rollback(self) -> None:
        """There is nothing to go back to."""

    def close(self) -> None:
        """End the connection."""
        self._client.close()


class Cursor:
    """As much of a DB-API cursor as dlt uses."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._rows: list[Sequence[Any]] = []
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, query: str, values: Mapping[str, Any]) -> None:
        """Run one statement, with the values set in as dlt's driver does it."""
        from clickhouse_connect.driver.exceptions import Error
        from clickhouse_driver.dbapi.errors import OperationalError
        from clickhouse_driver.util.escape import escape_params

        text = query % escape_params(values, _Context)
        try:
            if not _ANSWERS.match(text):
                self._client.command(text)
                self._rows, self.description = [], None
                return
            found = self._client.query(text)
        except Error as error:
            code = re.search(r"\bcode:? (\d+)", str(error), re.I)
            raise OperationalError(f"Code: {code[1] if code else 0}. {error}") from None
        self._rows = list(found.result_rows)
        types = (str(kind.name) for kind in found.column_types)
        named = zip(found.column_names, types, strict=True)
        self.description = [(*pair, None, None, None, None, None) for pair in named]

    def fetchall(self) -> list[Sequence[Any]]:
        """All rows that are left."""
        rows, self._rows = self._rows, []
        return rows

    def fetchmany(self, size: int = 1) -> list[Sequence[Any]]:
        """The next rows."""
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchone(self) -> Sequence[Any] | None:
        """The next row."""
        return next(iter(self.fetchmany()), None)

    def close(self) -> None:
        """Forget the rows."""
        self._rows = []


class _Context:
    """What the driver's escaping asks of a connection."""

    class server_info:  # noqa: N801 - the driver's name
        @staticmethod
        def get_timezone() -> str:
            """The zone of values without one."""
            return "UTC"
