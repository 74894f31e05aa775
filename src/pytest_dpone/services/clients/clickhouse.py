"""ClickHouse: a client of clickhouse-connect; a namespace is a database."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit


def connect(url: str) -> Any:
    """A client without a session, so that several queries may run at once."""
    import clickhouse_connect

    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        host=parts.hostname or "",
        port=parts.port or 8123,
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        secure=parts.scheme == "clickhouses",
        autogenerate_session_id=False,
    )


def create(client: Any, name: str) -> bool:
    """Create the database."""
    if name in {row[0] for row in client.query("select name from system.databases").result_rows}:
        return False
    client.command(f"create database {quoted(name)}")
    return True


def drop(client: Any, name: str) -> None:
    """Drop the tables by name, then the database."""
    find = "select name from system.tables where database = {database:String}"
    for (table,) in client.query(find, parameters={"database": name}).result_rows:
        client.command(f"drop table {quoted(name)}.{quoted(table)} sync")
    client.command(f"drop database {quoted(name)} sync")


def close(client: Any) -> None:
    """Close the client's connections."""
    client.close()


def quoted(name: str) -> str:
    """`name` as an identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
