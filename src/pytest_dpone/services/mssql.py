"""SQL Server through pymssql: how to log in, how to quote a name, and what an error says.

pymssql puts parameters into the text of a query by itself, so what it makes of a Python value matters:

- it writes ASCII `bytes` as text, and a float as a decimal number: give `bytearray`, and floats as text;
- `bulk_copy` changes values (empty texts, texts that are not ASCII, microseconds): it is not used here.

All traps, and the test that holds us off each, are listed in `tests/services/test_mssql.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ..core.secrets import Scrubber

PORT = 1433
VERSION = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), CAST(@@VERSION AS nvarchar(300))"
"""The casts are needed: pymssql can't read a sql_variant, and reads other types as each server sends them."""
PRODUCT = "SQL Server"
EMULATED = "SQL Server's protocol by another product: whatever the two do not have in common"

_HINTS: Mapping[int, str] = {
    18456: "check the user name and the password in the address",
    18486: "the login is locked: unlock it, or use another one",
    18487: "the password has expired: change it, and the address",
    18488: "the password must be changed: change it, and the address",
    4060: "check the name of the database in the address, and that the login may open it",
    20002: "the server hung up: is it still starting? does it need encryption (mssqls://)?",
    20009: "check host and port in the address, and that the server is up",
}
"""Number of an error of SQL Server, or of FreeTDS (from 20000 on), and what to do about it."""


def login(url: str, *, timeout: float) -> dict[str, Any]:
    """The arguments of `pymssql.connect` for the server at `url`; `timeout` is for the login, in seconds.

    With the scheme `mssqls` nothing is sent unencrypted. FreeTDS checks the server's certificate only if its own
    configuration names the authorities.
    """
    parts = urlsplit(url)
    return {
        "server": parts.hostname or "",
        "port": str(parts.port or PORT),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.strip("/")),
        "encryption": "require" if parts.scheme == "mssqls" else "request",
        "login_timeout": max(1, round(timeout)),
        "appname": "pytest-dpone",
        "autocommit": True,
        "use_datetime2": True,  # else microseconds are cut to milliseconds
    }


def product(told: str) -> str:
    """`PRODUCT` if `@@VERSION` tells Microsoft's own server, else what it calls itself.

    Microsoft's begin alike: `Microsoft SQL Server 2022 (RTM) - 16.0…`, `Microsoft SQL Azure (RTM) - 12.0…`. Others take
    over the number of a version, and the protocol's words, for the sake of their clients.
    """
    line = " ".join(told.partition("\n")[0].split())
    if line.startswith("Microsoft "):
        return PRODUCT
    return re.split(r" - | \(", line, maxsplit=1)[0][:80] or "a server that does not say what it is"


def quoted(*names: str) -> str:
    """`names` as one name: schema and table, for example. A percent sign is refused: pymssql takes it for its own."""
    if any("%" in name for name in names):
        raise ValueError("a name with a percent sign")
    return ".".join(f"[{name.replace(']', ']]')}]" for name in names)


def creation(database: str) -> tuple[str, ...]:
    """Statements that create `database` if it is not there, with what change data capture needs."""
    name, text = quoted(database), "N'" + database.replace("'", "''") + "'"
    tracked = f"SELECT 1 FROM sys.change_tracking_databases WHERE database_id = DB_ID({text})"  # noqa: S608
    kept = "(CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)"
    return (
        f"IF DB_ID({text}) IS NULL CREATE DATABASE {name}",
        f"ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON",
        f"IF NOT EXISTS ({tracked}) ALTER DATABASE {name} SET CHANGE_TRACKING = ON {kept}",
    )


def told(error: Exception, url: str) -> tuple[str, str]:
    """What pymssql's `error` says, on one line and without secrets, and a hint; the hint is empty if there is none."""
    first = error.args[0] if error.args else ""
    number, text = first if isinstance(first, tuple) and len(first) == 2 else (_number(error), error.args[-1:])
    texts = text if isinstance(text, tuple) else (text,)
    words = "\n".join(part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in texts)
    lines = dict.fromkeys(" ".join(line.split()) for line in words.splitlines())  # FreeTDS says things twice
    fact = Scrubber([url])(" ".join(lines)) or type(error).__name__
    known = [hint for code, hint in _HINTS.items() if code == number or f"({code}" in fact or f"error {code}" in fact]
    return (f"error {number}: {fact}" if number else fact), known[0] if known else ""


def _number(error: Exception) -> int:
    return next((part for part in error.args if isinstance(part, int)), 0)
