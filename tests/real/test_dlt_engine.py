"""dlt moves rows: what is right passes, and what the page of findings tells is red for that reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Job
from pytest_dpone.engines.dlt import DltEngine
from pytest_dpone.errors import EngineFailed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_spec("dlt") is None, reason="dlt is not installed: pip install 'pytest-dpone[dlt]'"),
]
PAGE = (Path(__file__).parents[2] / "docs" / "findings.md").read_text().split("## dpone", 1)[0]
ROWS = re.findall(r"^\| `(\w+__\w+)` \| (.+) \| (.+) \|$", PAGE, re.M)
CELLS = {
    (case, dataset): cell for case, *cells in ROWS for dataset, cell in zip(("standard", "narrow"), cells, strict=True)
}
PAIRS = list(dict.fromkeys(row[0].partition("__")[0] for row in ROWS))
QUICK = {
    "postgres_to_minio": ("incremental_append", "narrow"),
    "minio_to_postgres": ("incremental_append", "narrow"),
    "minio_to_clickhouse": ("incremental_merge", "standard"),
    "minio_to_minio": ("incremental_append", "standard"),
}
"""Other pairs are played by the commands of the pages: see tests/real/test_docs_stories.py."""


def test_every_case_of_dlt_is_on_the_page() -> None:
    planned = [c for c in build_matrix(default_registry()).planned if DltEngine().supports(c).status == "supported"]
    assert [row[0] for row in ROWS] == [case.case_id for case in planned]
    assert set(QUICK) < set(PAIRS)


@pytest.mark.nightly("one case of each pair, with one of the tables")
@pytest.mark.parametrize("pair", PAIRS)
def test_cases_end_as_the_page_says(pair: str, tmp_path: Path, nightly: bool) -> None:
    if not nightly and pair not in QUICK:
        pytest.skip("the pages' own commands play this pair, and `make nightly` all of it")
    strategy, quick = QUICK.get(pair, ("", ""))
    for dataset in ("standard", "narrow") if nightly else (quick,):
        named = "*" if nightly else strategy
        done = run(tmp_path, f"--dpone-case={pair}__{named}", f"--dpone-dataset={dataset}")
        cells = {
            case: cell
            for (case, table), cell in CELLS.items()
            if table == dataset and fnmatch(case, f"{pair}__{named}")
        }
        assert cells
        wrong = {case: cell for case, cell in cells.items() if not is_so(cell, failure(case, done.stdout))}
        assert not wrong, f"{wrong}\n{done.stdout}"
        passed = sum(not failure(case, done.stdout) for case in cells)
        assert re.search(rf"^(PASSED \(reduced scope|FAILED): {passed} of ", done.stdout, re.M), done.stdout


def is_so(cell: str, told: str) -> bool:
    """If a case that is red for what `told` says, or green if that is empty, is what the cell says."""
    found = re.fullmatch(r"(passed|red|red at times)(?:: \[\w+\]\(#[\w-]+\) `(.+)`)?", cell)
    assert found is not None, cell
    verdict, why = found.groups()
    if not told:
        return verdict != "red"
    return verdict != "passed" and why in told


def failure(case: str, output: str) -> str:
    """What the output of a run says of a red case; empty if it is green."""
    found = re.search(rf"^FAILED {case} \(engine .*?^  rerun: ", output, re.M | re.S)
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("cell", "told", "so"),
    [
        ("passed", "", True),
        ("passed", "check rows", False),
        ("red: [x](#x) `check rows`", "", False),
        ("red: [x](#x) `check rows`", "  check rows: expected", True),
        ("red: [x](#x) `check rows`", "check schema", False),
        ("red at times: [x](#x) `check swap`", "", True),
        ("red at times: [x](#x) `check swap`", "check rows", False),
    ],
)
def test_a_cell_is_held_against_a_run(cell: str, told: str, so: bool) -> None:
    assert is_so(cell, told) is so


def test_nothing_of_a_run_is_left_in_the_users_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    case = "--dpone-case=postgres_to_postgres__full_refresh"
    done = run(tmp_path, case, "--dpone-dataset=narrow", "--dpone-rows=50", HOME=str(home), TMPDIR=str(home))
    assert done.returncode == 0, done.stdout
    assert [path.name for path in home.rglob("*") if "dlt" in path.name] == []


@pytest.mark.parametrize("ends", [("postgres", "clickhouse"), ("postgres", "minio"), ("minio", "postgres")])
def test_a_password_is_in_no_message(ends: tuple[str, str]) -> None:
    secret = "can@ry/s3cr%t:x"
    account = f"u:{quote(secret, safe='')}@127.0.0.1:9"
    urls = {
        "postgres": f"postgresql://{account}/d",
        "clickhouse": f"clickhouse://{account}",
        "minio": f"s3://{account}/b",
    }
    places = [{"family": family, "url": urls[family], "namespace": "n", "table": "t"} for family in ends]
    job = Job.model_validate({**JOB, "source": places[0], "sink": places[1]})
    with pytest.raises(EngineFailed, match="onnect") as caught:
        DltEngine().run(job)
    assert secret not in str(caught.value)
    assert quote(secret, safe="") not in str(caught.value)
    assert caught.value.hint.startswith("that is what dlt says itself")


JOB = {
    "case_id": "c",
    "run_id": "r",
    "strategy": "full_refresh",
    "key": ("id",),
    "cursor": "u",
    "partition": "d",
    "state_table": "s",
    "batch_rows": 1,
}


def test_a_row_that_is_lost_by_the_engine_is_red(tmp_path: Path) -> None:
    """The same pipelines with dlt's own default of what it leaves out at the cursor."""
    (tmp_path / "lossy.py").write_text(LOSSY)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    case = "--dpone-case=postgres_to_postgres__incremental_append"
    done = run(tmp_path, case, "--dpone-dataset=narrow", "--dpone-rows=2000", engine="lossy")
    assert done.returncode == 1, done.stdout
    assert "check rows: expected 2271, got 2270 (1 missing)" in done.stdout
    assert "missing code='a104 ', revision=1" in done.stdout


LOSSY = """
import dlt
from pytest_dpone.engines.dlt import ends, mover

ends._from_cursor = lambda job, column: dlt.sources.incremental(column)
raise SystemExit(mover.main())
"""
CONFTEST = """
import sys
from pathlib import Path

from pytest_dpone.engines.command import CommandEngine
from pytest_dpone.engines.dlt import DltEngine


class Lossy(DltEngine):
    name = "lossy"

    def __init__(self):
        self._program = CommandEngine(
            (sys.executable, str(Path(__file__).with_name("lossy.py"))), scratch="lossy-", called="lossy"
        )


def pytest_dpone_engine(name):
    return Lossy() if name == "lossy" else None
"""


def run(folder: Path, *arguments: str, engine: str = "dlt", **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"--dpone-engine={engine}", "--dpone-crash=off", *arguments],
        cwd=folder,
        env={**environ, **more, "DPONE_SERVICES": "postgres=embedded,clickhouse=embedded,minio=embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
