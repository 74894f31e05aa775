"""The commands and their exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping

import pytest

from pytest_dpone.cli import commands
from pytest_dpone.cli.main import main
from pytest_dpone.errors import ServiceFailed


def test_matrix_lists_planned_and_excluded_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {"case": "postgres_to_postgres__full_refresh", "status": "planned", "reason": ""}
    assert {row["status"] for row in rows} == {"planned", "excluded"}
    assert all(row["reason"] for row in rows if row["status"] == "excluded")


def test_matrix_takes_a_selection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--source=minio", "--sink=postgres", "--strategy=scd2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "case                     status   reason",
        "minio_to_postgres__scd2  planned",
    ]


def test_wrong_use_is_status_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--source=postgre"]) == 4
    assert capsys.readouterr().err == "no planned case has the source 'postgre'\nhint: did you mean postgres?\n"
    for argv in ([], ["matrx"], ["matrix", "--format=xml"], ["serve"], ["serve", "mssql"]):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 4
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0


def test_contracts_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contracts", "--format=markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| family | kind | feature | how | rule or error | native types | note |"
    assert "| minio | uint64 |  | exact |  | uint64 |  |" in lines


class FakeStack:
    def __init__(self, provider: str | None) -> None:
        self._provider = provider

    def choose(self, names: Iterable[str]) -> Mapping[str, object]:
        from pytest_dpone.services.stack import Choice

        return {name: Choice(name, self._provider, "because") for name in names}

    def __enter__(self) -> FakeStack:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to stop."""


@pytest.mark.parametrize(("provider", "status"), [("embedded", 0), (None, 1)])
def test_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], provider: str | None, status: int
) -> None:
    monkeypatch.setattr(commands, "_stack", lambda *_, **__: FakeStack(provider))
    assert main(["doctor", "--format=json"]) == status
    rows = json.loads(capsys.readouterr().out)
    assert [row["service"] for row in rows][:2] == ["postgres", "mssql"]
    assert {row["provider"] for row in rows} == {provider or "unavailable"}


def test_a_failure_is_status_1_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ServiceFailed("the supervisor did not come up", hint="see its log")

    monkeypatch.setattr(commands, "_stack", broken)
    assert main(["serve", "s3"]) == 1
    assert capsys.readouterr().err == "the supervisor did not come up\nhint: see its log\n"


def test_help_loads_nothing() -> None:
    code = (
        "import sys\nfrom pytest_dpone.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert {'pydantic', 'pyarrow', 'pytest', 'pytest_dpone.core'}.isdisjoint(sys.modules), 'loaded too much'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "doctor" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m pytest_dpone.cli.main matrix | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
