"""`pytest-dpone diff`: what changed between two runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_dpone.cli.main import main

from .conftest import Project

LOCAL = "--dpone-profile=local_live"
Compared = tuple[int, list[list[str]], str]


@pytest.fixture
def compare(project: Project, capsys: pytest.CaptureFixture[str]) -> Callable[..., Compared]:
    def run(
        before: dict[str, str], after: dict[str, str], *words: str, edit: Callable[[Path], object] = id
    ) -> Compared:
        """Status, rows as JSON tells them, and the errors, of a run that behaves like `before` and one like `after`."""
        for name, behaviours in (("a", before), ("b", after)):
            project.behave(behaviours)
            project.run(LOCAL, f"--dpone-artifact-dir={name}", *(words if name == "b" else ()))
        edit(project.path / "b")
        capsys.readouterr()
        status = main(["diff", str(project.path / "a"), str(project.path / "b" / "matrix"), "--format=json"])
        told = capsys.readouterr()
        return status, [list(row.values()) for row in json.loads(told.out)] if told.out else [], told.err

    return run


REPLACE = "alpha_to_beta__replace"
FAIL, TODO = {"*__replace": "fail"}, {"*__replace": "todo"}


def test_nothing_changed(compare: Callable[..., Compared]) -> None:
    assert compare({}, {}) == (0, [], "")


@pytest.mark.parametrize(
    ("before", "after", "kind", "was", "now"),
    [
        ({}, FAIL, "worse", "passed", "failed"),
        (FAIL, {}, "better", "failed", "passed"),
        ({}, TODO, "worse", "passed", "not implemented yet"),
        (TODO, FAIL, "worse", "not implemented yet", "failed"),
        (FAIL, TODO, "other", "failed", "not implemented yet"),
    ],
)
def test_a_verdict_that_changed(
    compare: Callable[..., Compared], before: dict[str, str], after: dict[str, str], kind: str, was: str, now: str
) -> None:
    status, rows, _ = compare(before, after)
    assert [kind, REPLACE, "verdict", was, now] in rows
    assert status == (kind == "worse")


def test_a_case_that_is_gone_is_worse(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.run(LOCAL, "--dpone-artifact-dir=a")
    project.behave({}, strategies=("full_refresh", "scd2"))
    project.run(LOCAL, "--dpone-artifact-dir=b")
    capsys.readouterr()
    status = main(["diff", str(project.path / "a"), str(project.path / "b"), "--format=json"])
    rows = [list(row.values()) for row in json.loads(capsys.readouterr().out)]
    assert rows.pop() == ["other", "run", "matrix_size", "3", "2"]
    assert (status, rows) == (1, [["worse", REPLACE, "verdict", "passed", "not in the run"]])


def test_settings_that_changed(compare: Callable[..., Compared]) -> None:
    status, rows, _ = compare({}, {}, "--dpone-rows=50", "--dpone-seed=7", "--dpone-engine=mine")
    assert status == 0
    assert rows[:2] == [["other", "run", "engine", "native", "mine"], ["other", "run", "seed", "1", "7"]]
    assert ["other", REPLACE, "rows", "1000", "50"] in rows


def test_a_known_failure_is_told_as_one(project: Project, compare: Callable[..., Compared]) -> None:
    entry = f'[[failure]]\ncase = "{REPLACE}"\nreason = "r"\nowner = "o"\nexpires = 2999-01-01\n'
    (project.path / "known.toml").write_text(entry)
    _, rows, _ = compare(FAIL, FAIL, "--dpone-known-failures=known.toml")
    assert ["other", REPLACE, "verdict", "failed", "known failure"] in rows


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda run: (run / f"matrix/{REPLACE}__behavior.json").unlink(), "its document .* is missing"),
        (lambda run: swap(run / f"matrix/{REPLACE}__behavior.json", '"rows": 1000', '"rows": 1001'), "was edited"),
        (lambda run: swap(run / "matrix/certification_report.json", '"passed": 3', '"passed": 4'), "was edited"),
        (lambda run: (run / "matrix/certification_report.json").write_text("{"), "not strict JSON"),
    ],
)
def test_a_run_that_cant_be_believed(
    compare: Callable[..., Compared], edit: Callable[[Path], object], told: str
) -> None:
    status, rows, error = compare({}, {}, edit=edit)
    assert (status, rows) == (3, [])
    assert re.search(told, error)
    assert "hint: " in error


def test_the_only_run_below_a_folder_is_found_and_several_are_wrong_use(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        project.run("--dpone-case=*__scd2", "--dpone-artifact-dir=a")
        capsys.readouterr()
        status = main(["diff", str(project.path / "a"), str(project.path / "a")])
        told = capsys.readouterr()
        assert status == (0 if not told.err else 4)
    assert "has the reports of 2 runs" in told.err


def test_what_a_run_says_can_do_nothing_to_the_terminal(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.run(LOCAL, "--dpone-artifact-dir=a")
    (project.path / "a").rename(project.path / "a\x1b[31m")
    swap(project.path / "a\x1b[31m/matrix/certification_report.json", '"passed": 3', '"passed": 4')
    capsys.readouterr()
    assert main(["diff", str(project.path / "a\x1b[31m"), str(project.path)]) == 3
    assert "\x1b" not in capsys.readouterr().err


def test_a_folder_without_a_run_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 4
    assert "has no certification_report.json\nhint: name the folder" in capsys.readouterr().err


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
