"""The page of a whole run: written, listed by the index, and never a reason for a red run."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest

from .conftest import Project

FULL = "--dpone-profile=local_live"
HINT = "report.html was not written: htpy is not installed (pip install 'pytest-dpone[html]')"
OURS = '<!doctype html><html><head><meta name="generator" content="pytest-dpone">'


@pytest.fixture
def with_htpy() -> None:
    pytest.importorskip("htpy", reason="the page needs the extra html")


@pytest.mark.usefixtures("with_htpy")
def test_a_whole_run_writes_its_page_before_the_index(project: Project) -> None:
    project.behave({"*__replace": "todo"})
    result = project.run(FULL)
    assert result.ret == 0
    data = (project.artifacts / "report.html").read_bytes()
    for name in ("full_refresh", "replace", "scd2"):
        assert f'id="case-alpha_to_beta__{name}"'.encode() in data
    assert b'href="matrix/alpha_to_beta__scd2__behavior.md"' in data
    assert b"behavior" not in data.partition(b'id="case-alpha_to_beta__replace"')[2].partition(b"</details>")[0]
    assert (project.artifacts / "matrix" / "alpha_to_beta__scd2__behavior.md").is_file()
    assert b"certification_pack" in data
    index = json.loads((project.artifacts / "artifact-index" / "artifact_index.json").read_text())
    (row,) = [row for row in index["facts"]["files"] if row["path"] == "report.html"]
    assert (row["sha256"], row["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert "report.html" not in result.stdout.str()


@pytest.mark.usefixtures("with_htpy")
def test_a_red_run_tells_its_blockers_on_the_page(project: Project) -> None:
    project.behave({"*__replace": "fail"})
    assert project.run(FULL).ret == 1
    text = (project.artifacts / "report.html").read_text()
    assert "FAILED" in text
    assert (
        '<li><a href="#case-alpha_to_beta__replace"><code>alpha_to_beta__replace.failed</code></a>'
        ": act change, check rows: differ</li>"
    ) in text
    assert "    10 rows expected, 9 found: 1 missing, 0 extra, 1 changed, 0 duplicated\n" in text
    assert r"am\x1bount: expected 1.50, got 1.5" in text
    assert ">1 of 1</td>" in text
    assert ">0 of 1</td>" in text


@pytest.mark.usefixtures("with_htpy")
def test_the_page_of_a_release_profile_leaves_the_decision_to_the_pack(project: Project) -> None:
    assert project.run("--dpone-profile=real_local").ret == 1
    text = (project.artifacts / "report.html").read_text()
    assert 'href="release-evidence/release_evidence_pack.json"' in text
    assert "<li><code>release.missing</code>: no release is named" in text
    assert "NO-GO:" not in text


def test_without_htpy_a_run_says_how_to_have_a_page_and_stays_green(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.artifacts.mkdir(parents=True)
    (project.artifacts / "report.html").write_text(OURS)
    monkeypatch.setitem(sys.modules, "htpy", None)
    result = project.run(FULL)
    assert result.ret == 0
    assert result.stdout.lines.count(HINT) == 1
    assert not (project.artifacts / "report.html").exists()
    result.stdout.fnmatch_lines(["PASSED (3 of 3 planned cases passed)"])


@pytest.mark.usefixtures("with_htpy")
def test_an_htpy_that_is_broken_is_told_and_breaks_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pytest_dpone.report.html", raising=False)
    monkeypatch.setitem(sys.modules, "markupsafe", None)
    result = project.run(FULL)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["report.html was not written: htpy can't be imported: *markupsafe*"])


def test_a_page_of_somebody_else_stays(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.artifacts.mkdir(parents=True)
    page = project.artifacts / "report.html"
    page.write_text("<title>another tool's report</title>")
    result = project.run(FULL)
    assert result.ret == 0
    assert page.read_text() == "<title>another tool's report</title>"
    assert "report.html was not written: " in result.stdout.str()


@pytest.mark.usefixtures("with_htpy")
def test_a_folder_in_the_place_of_the_page_stays(project: Project) -> None:
    (project.artifacts / "report.html").mkdir(parents=True)
    result = project.run(FULL)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["report.html was not written: * is in the way, and was not written by pytest-dpone"])


@pytest.mark.usefixtures("with_htpy")
def test_a_run_of_one_case_has_a_page_in_its_own_folder(project: Project) -> None:
    assert project.run(FULL).ret == 0
    whole = (project.artifacts / "report.html").read_bytes()
    assert project.run("--dpone-case=alpha_to_beta__scd2").ret == 0
    (page,) = (project.artifacts / "cases").rglob("report.html")
    assert page.read_text().count("not chosen") == 2
    assert (project.artifacts / "report.html").read_bytes() == whole


def test_a_step_of_the_documentation_has_no_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION_MATRIX", "1")
    result = project.run()
    assert (project.artifacts / "matrix" / "certification_report.json").is_file()
    assert not (project.artifacts / "report.html").exists()
    assert "report.html" not in result.stdout.str()
