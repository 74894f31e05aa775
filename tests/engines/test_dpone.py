"""The engine `dpone`: what a job is in dpone's words, and how its environment is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_dpone.cli.main import main
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.registry import default_registry
from pytest_dpone.engines import load_engine
from pytest_dpone.engines.dpone import DponeEngine, Environment, environment, mover
from pytest_dpone.errors import EngineFailed, UsageError

SECRET = "canary-s3cret"
URL = f"postgresql://me:{SECRET}%40@127.0.0.1:5433/db"
JOB: dict[str, Any] = {
    "strategy": "full_refresh",
    "mode": "load",
    "source": {"family": "postgres", "url": URL, "namespace": "s", "table": "t"},
    "sink": {"family": "postgres", "url": URL, "namespace": "d", "table": "t"},
    "key": ["id"],
    "cursor": "u",
    "partition": 'a"b',
    "window": None,
    "partitions": None,
    "state_table": "state",
    "batch_rows": 10,
    "slot": "slot",
    "backfill_id": "first",
    "chunk_days": 2,
}


def installed(folder: Path) -> Environment:
    found = Environment(folder)
    found.python.parent.mkdir(parents=True)
    found.python.symlink_to(sys.executable)
    (folder / "installed.txt").write_text("")
    return found


def test_without_dpone_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"dpone is not installed in .*engines/dpone-0\.88\.0") as caught:
        load_engine("dpone")
    assert caught.value.hint == "run: pytest-dpone engine install dpone"


def test_an_installation_that_was_interrupted_is_none(tmp_path: Path) -> None:
    found = installed(tmp_path / "env")
    assert found.ready
    (tmp_path / "env" / "installed.txt").unlink()
    assert not found.ready


def test_it_supports_postgres_to_postgres_whole(tmp_path: Path) -> None:
    engine = DponeEngine(installed(tmp_path / "env"))
    said = {case.case_id: engine.supports(case) for case in build_matrix(default_registry()).planned}
    assert sum(support.status == "supported" for support in said.values()) == 10
    assert all(name.startswith("postgres_to_postgres__") for name, s in said.items() if s.status == "supported")
    assert said["postgres_to_minio__replace"].reason.startswith("excluded: ")


def test_addresses_are_no_part_of_the_manifest() -> None:
    assert SECRET not in json.dumps(mover.manifest(JOB))
    told = mover.connection("sink", URL)
    assert told["DPONE_CONN_SINK_PASSWORD"] == f"{SECRET}@"
    assert (told["DPONE_CONN_SINK_HOST"], told["DPONE_CONN_SINK_PORT"]) == ("127.0.0.1", "5433")


@pytest.mark.parametrize(
    ("more", "source", "strategy"),
    [
        ({}, {}, {"mode": "full_refresh"}),
        ({"strategy": "incremental_append"}, {"incremental_column": "u"}, {"mode": "incremental_append"}),
        (
            {"strategy": "replace", "window": {"start": "2024-01-02", "stop": "2024-01-04"}},
            {"source_custom_predicate": """"a""b" >= DATE '2024-01-02' AND "a""b" < DATE '2024-01-04'"""},
            {"custom_predicate": """"a""b" >= DATE '2024-01-02' AND "a""b" < DATE '2024-01-04'"""},
        ),
        (
            {"strategy": "partition_replace", "partitions": ["2024-01-02"]},
            {"source_custom_predicate": """"a""b" IN (DATE '2024-01-02')"""},
            {"partition": {"column": 'a"b', "values_from_staging": True}},
        ),
        (
            {"strategy": "xmin"},
            {"incremental_strategy": "xmin", "xmin_state_key": "state"},
            {"mode": "incremental_merge", "unique_key": "id"},
        ),
        ({"strategy": "cdc", "key": ["a", "b"]}, {}, {"mode": "cdc_apply", "unique_key": ["a", "b"]}),
    ],
)
def test_a_job_in_the_words_of_dpone(more: dict[str, Any], source: dict[str, Any], strategy: dict[str, Any]) -> None:
    told = mover.manifest({**JOB, **more})
    assert source.items() <= told["source"]["options"].items()
    assert strategy.items() <= told["sink"]["strategy"].items()


def test_the_last_day_of_a_backfill_is_the_one_before_the_windows_end() -> None:
    job = {**JOB, "strategy": "backfill", "window": {"start": "2024-01-01", "stop": "2024-01-09"}}
    told = mover.manifest(job)["sink"]["strategy"]["backfill"]
    assert told["chunk"] == {"column": 'a"b', "from": "2024-01-01", "to": "2024-01-08", "step": "2d"}
    assert (told["backfill_id"], told["state"]["schema"]) == ("t-first", "d")


def test_the_program_needs_nothing_of_ours() -> None:
    check = "import runpy, sys; runpy.run_path(sys.argv[1]); print('pytest_dpone' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", check, mover.__file__], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_an_installation_is_made_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str]) -> str:
        ran.append(command)
        (tmp_path / "pytest-dpone/engines/dpone-0.88.0").mkdir(exist_ok=True)
        return "0.88.0\n"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environment, "_run", run)
    monkeypatch.setattr(environment, "_interpreter", lambda: "python3.12")
    assert main(["engine", "install", "dpone"]) == 0
    assert capsys.readouterr().out == f"dpone 0.88.0 is installed in {tmp_path}/pytest-dpone/engines/dpone-0.88.0\n"
    assert ran[0][:3] == ["python3.12", "-m", "venv"]
    assert ran[1][-2:] == ["dpone==0.88.0", "psycopg[binary]==3.3.4"]


def test_an_installation_that_fails_is_told_and_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_interpreter", lambda: sys.executable)
    monkeypatch.setattr(environment, "REQUIREMENTS", ("/no/such/package",))
    found = Environment(tmp_path / "env")
    with pytest.raises(EngineFailed, match="dpone could not be installed: -m pip install ended with status 1"):
        found.install()
    assert not found.ready


def test_a_python_that_is_too_new_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_TOO_NEW", (3, 0))
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"none of python3\.12, python3\.11 is here"):
        environment._interpreter()
