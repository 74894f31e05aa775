"""Time zones and locales of servers and of the process change nothing: instants are instants."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

CASES = (
    "postgres_to_postgres__incremental_merge",
    "postgres_to_postgres__cdc",
    "postgres_to_clickhouse__snapshot_diff",
    "clickhouse_to_postgres__scd2",
    "clickhouse_to_clickhouse__backfill",
)
CONFTEST = '''
import os
import pytest

@pytest.fixture(scope="session", autouse=True)
def zone(dpone_postgres, dpone_clickhouse):
    """The database's zone is that of the environment, which ClickHouse takes by itself."""
    from psycopg import sql

    name = os.environ["TZ"]
    client = dpone_postgres.client
    database = sql.Identifier(client.info.dbname)
    client.execute(sql.SQL("ALTER DATABASE {} SET TimeZone TO {}").format(database, sql.Literal(name)))
    client.commit() if not client.autocommit else None
    assert dpone_clickhouse.client.query("SELECT timezone()").result_rows == [(name,)]
'''


def turkish() -> str:
    """The locale in which `I` has no dot, if this machine has it; else a plain one."""
    found = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.lower()
    return "tr_TR.UTF-8" if "tr_tr.utf8" in found else "C.UTF-8"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_a_zone_of_the_servers_changes_nothing(tmp_path: Path, zone: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_", "LC_"))}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--dpone-rows=200",
            "--dpone-crash=off",
            *(f"--dpone-case={c}" for c in CASES),
        ],
        cwd=tmp_path,
        env={**environ, "TZ": zone, "LC_ALL": turkish()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"PASSED (reduced scope: {len(CASES)} of {len(CASES)} selected cases" in done.stdout
