"""SQL Server: a pymssql connection that commits each statement; a namespace is a schema."""

from __future__ import annotations

from typing import Any

from ..mssql import login, quoted

_SCHEMA = "SELECT name FROM sys.schemas WHERE name = %s"
_OBJECTS = "SELECT name, type FROM sys.objects WHERE schema_id = SCHEMA_ID(%s) AND type IN ('U', 'V')"


def connect(url: str) -> Any:
    """A connection with autocommit."""
    import pymssql

    return pymssql.connect(**login(url, timeout=10))


def create(client: Any, name: str) -> bool:
    """Create the schema."""
    if _rows(client, _SCHEMA, name):
        return False
    _do(client, f"CREATE SCHEMA {quoted(name)}")
    return True


def drop(client: Any, name: str) -> None:
    """Drop the views and tables of the schema by name, then the schema; a transaction that is open is rolled back."""
    _do(client, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    for thing, kind in sorted(_rows(client, _OBJECTS, name), key=lambda row: row[1].strip() == "U"):
        word = "TABLE" if kind.strip() == "U" else "VIEW"
        _do(client, f"DROP {word} IF EXISTS {quoted(name, thing)}")
    _do(client, f"DROP SCHEMA IF EXISTS {quoted(name)}")


def close(client: Any) -> None:
    """Close the connection."""
    client.close()


def _do(client: Any, query: str) -> None:
    with client.cursor() as cursor:
        cursor.execute(query)


def _rows(client: Any, query: str, argument: str) -> list[tuple[str, ...]]:
    with client.cursor() as cursor:
        cursor.execute(query, (argument,))
        found: list[tuple[str, ...]] = cursor.fetchall()
    return found
