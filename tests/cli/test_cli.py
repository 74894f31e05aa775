"""The commands and their exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dpone.cli import commands
from pytest_dpone.cli.main import main
from pytest_dpone.errors import ServiceFailed


def test_matrix_lists_planned_and_excluded_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "case": "postgres_to_postgres__full_refresh",
        "source": "postgres",
        "sink": "postgres",
        "strategy": "full_refresh",
        "key": "integer",
        "status": "planned",
        "reason": "",
    }
    assert {row["status"] for row in rows} == {"planned", "excluded"}
    assert all(row["reason"] for row in rows if row["status"] == "excluded")
    assert {row["key"] for row in rows} == {"integer", "text", "composite", ""}


def test_matrix_takes_a_selection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--source=minio", "--sink=postgres", "--strategy=scd2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "case                     source  sink      strategy  key   status   reason",
        "minio_to_postgres__scd2  minio   postgres  scd2      text  planned",
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


def doctor(monkeypatch: pytest.MonkeyPatch, *statuses: str, form: str = "json") -> int:
    """The exit status of the doctor that finds services in these states."""
    from pytest_dpone.services import survey

    lines = [survey.Finding("minio", "docker", status, "1", "real", "be|cause") for status in statuses]  # type: ignore[arg-type]
    monkeypatch.setattr(survey, "survey", lambda _: lines)
    monkeypatch.setattr(survey, "look_at_docker", lambda *_: survey.DockerLook())
    return main(["doctor", f"--format={form}"])


@pytest.mark.parametrize(
    ("statuses", "expected"), [(("yes", "no"), 0), (("no", "no"), 1), ((), 1), (("yes", "wrong"), 1)]
)
def test_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], statuses: tuple[str, ...], expected: int
) -> None:
    assert doctor(monkeypatch, *statuses) == expected
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows if row["subject"] == "minio"] == list(statuses)
    assert {row["subject"] for row in rows} - {"minio"} == {"machine"}
    assert set(rows[0]) == {"subject", "way", "status", "version", "fidelity", "detail"}


def test_doctor_as_markdown_and_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(monkeypatch, "yes", form="markdown")
    assert "| minio | docker | yes | 1 | real | be\\|cause |" in capsys.readouterr().out.splitlines()
    doctor(monkeypatch, "yes", form="text")
    assert capsys.readouterr().out.splitlines()[0].split() == [
        "subject", "way", "status", "version", "fidelity", "detail",
    ]  # fmt: skip


def test_doctor_on_a_machine_where_everything_is_wrong(tmp_path: Path) -> None:
    environ = {
        "PATH": "/nowhere",
        "TMPDIR": "/nowhere",
        "DOCKER_HOST": "tcp://127.0.0.1:9",
        "KAFKA_HOME": "relative",
        "DPONE_POSTGRES_BIN": "/nowhere",
        "DPONE_POSTGRES_URL": "postgresql://u:canary-9@127.0.0.1:1/d",
        "DPONE_MINIO_URL": "s3://[canary-9",
        "DPONE_KAFKA_URL": "canary-9",
        "DPONE_CLICKHOUSE_URL": "clickhouse://u:canary-9@127.0.0.1:1",
        "DPONE_SCHEMA_REGISTRY_URL": "http://u:canary-9@127.0.0.1:1",
        "DPONE_MSSQL_URL": "mssql://u:canary-9@127.0.0.1:1",
        "DPONE_MSSQL_PORT": "canary-9",
    }
    folder = tmp_path / "gone"
    folder.mkdir()
    command = ["/bin/sh", "-c", '/bin/rmdir "$0" && exec "$@"', str(folder), sys.executable]
    command += ["-m", "pytest_dpone.cli.main", "doctor", "--format=json"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert not folder.exists()
    assert (done.returncode, done.stderr) == (1, "")
    wrong = {(row["subject"], row["way"]) for row in json.loads(done.stdout) if row["status"] == "wrong"}
    services = ("postgres", "clickhouse", "minio", "mssql", "kafka", "schema_registry")
    assert {(name, "external") for name in services} | {("kafka", "embedded"), ("postgres", "embedded")} <= wrong
    assert "canary" not in done.stdout


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
