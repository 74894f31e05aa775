"""What a run leaves for other tools: CTRF, the properties of JUnit, the error commands of GitHub."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from .conftest import WORKERS, Project

LOCAL = "--dpone-profile=local_live"


def ctrf(project: Project) -> dict[str, Any]:
    return json.loads((project.artifacts / "ctrf-report.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("workers", WORKERS)
def test_ctrf(project: Project, workers: list[str]) -> None:
    project.behave({"*__replace": "fail", "*__scd2": "todo"})
    assert project.run_with(workers, LOCAL).ret == 1
    report = ctrf(project)
    assert (report["reportFormat"], report["specVersion"]) == ("CTRF", "0.0.0")
    summary = report["results"]["summary"]
    counted = {name: summary[name] for name in ("tests", "passed", "failed", "pending", "skipped", "other")}
    assert counted == {"tests": 3, "passed": 1, "failed": 1, "pending": 0, "skipped": 1, "other": 0}
    assert summary["start"] <= summary["stop"]
    assert {test["name"]: test["status"] for test in report["results"]["tests"]} == {
        "alpha_to_beta__full_refresh": "passed",
        "alpha_to_beta__replace": "failed",
        "alpha_to_beta__scd2": "skipped",
    }
    assert ctrf(project)["results"]["tests"][1]["message"] == "act change, check rows: differ"
    index = json.loads((project.artifacts / "artifact-index/artifact_index.json").read_text())
    assert "ctrf-report.json" in json.dumps(index["facts"])


def test_what_no_branch_may_live_with_is_never_skipped(project: Project) -> None:
    project.run(LOCAL, "-k", "not scd2")
    (other,) = [test for test in ctrf(project)["results"]["tests"] if test["name"].endswith("scd2")]
    assert (other["status"], other["message"]) == ("other", "deselected: no test certified this case in this run")


def test_a_file_of_somebody_else_stays(project: Project) -> None:
    project.artifacts.mkdir(parents=True)
    path = project.artifacts / "ctrf-report.json"
    path.write_text('{"generatedBy": "another"}')
    result = project.run(LOCAL)
    result.stdout.fnmatch_lines(["ctrf-report.json was not written: * is in the way, *"])
    assert path.read_text() == '{"generatedBy": "another"}'


@pytest.mark.parametrize("workers", WORKERS)
def test_junit_has_the_facts_of_each_case(project: Project, workers: list[str]) -> None:
    project.behave({"*__replace": "fail", "*__scd2": "todo"})
    project.run_with(workers, LOCAL)
    found = {}
    for case in ET.parse(project.artifacts / "junit.xml").iter("testcase"):
        facts = {p.get("name"): p.get("value") for p in case.iter("property")}
        found[facts["dpone_case_id"]] = facts
    assert {name.partition("__")[2]: facts["dpone_verdict"] for name, facts in found.items() if name} == {
        "full_refresh": "passed",
        "replace": "failed",
        "scd2": "not implemented yet",
    }
    facts = found["alpha_to_beta__replace"]
    assert (facts["dpone_engine"], facts["dpone_rows"], facts["dpone_seed"]) == ("native", "1000", "1")
    assert (facts["dpone_rerun"] or "").startswith("pytest --dpone-case=alpha_to_beta__replace")


@pytest.mark.parametrize("value", ["true", "", "1"])
def test_github_is_told_each_red_case(project: Project, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", value)
    project.behave({"*__replace": "fail", "*__scd2": "todo"})
    lines = [line for line in project.run(LOCAL).outlines if line.startswith("::")]
    if value != "true":
        assert lines == []
        return
    assert lines[0].startswith(
        "::error title=alpha_to_beta__replace::failed: act change, check rows: differ%0Arerun: pytest --dpone-case="
    )
    assert not any("scd2" in line for line in lines)


def test_a_green_run_has_no_error_commands(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert not any(line.startswith("::error") for line in project.run(LOCAL).outlines)
