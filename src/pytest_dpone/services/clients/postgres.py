"""Postgres: a psycopg connection that commits each statement; a namespace is a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection with autocommit."""
    import psycopg

    return psycopg.connect(url, autocommit=True, application_name="pytest-dpone")


def create(client: psycopg.Connection[Any], name: str) -> bool:
    """Create the schema."""
    from psycopg import sql

    if client.execute("select 1 from pg_namespace where nspname = %s", [name]).fetchone():
        return False
    client.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
    return True


def drop(client: psycopg.Connection[Any], name: str) -> None:
    """Drop the views and tables of the schema by name, without CASCADE, then the schema."""
    from psycopg import sql

    find = "select relname, relkind from pg_class where relnamespace = %s::regnamespace and relkind = any('{v,m,r,p}')"
    words = {"v": "view", "m": "materialized view", "r": "table", "p": "table"}
    rows = client.cursor(row_factory=_tuples()).execute(find, [_quoted(name)]).fetchall()
    for table, kind in sorted(rows, key=lambda row: row[1] in "rp"):
        statement = sql.SQL(f"drop {words[kind]} if exists {{}}")
        client.execute(statement.format(sql.Identifier(name, table)))
    client.execute(sql.SQL("drop schema {}").format(sql.Identifier(name)))


def close(client: psycopg.Connection[Any]) -> None:
    """Close the connection."""
    client.close()


def _tuples() -> Any:
    from psycopg.rows import tuple_row

    return tuple_row


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
