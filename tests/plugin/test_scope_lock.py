"""The scope lock: written by a command, and a release run that leaves out anything of it is never GO."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from .conftest import Project

RELEASE = "--dpone-profile=real_local"
LOCAL = "--dpone-profile=local_live"
CASES = ["alpha_to_beta__full_refresh", "alpha_to_beta__scd2"]
TEST = "test_services.py::test_postgres"
SCD2 = "alpha_to_beta__scd2"
WITH_RERUNS = ("-p", "no:hypothesispytest")


@pytest.fixture
def locked(release: Project) -> Project:
    """A project whose release run is GO, with its lock."""
    lock = {
        "schema": "pytest-dpone/scope-lock/v1",
        **_versions(),
        "profiles": {"real_local": {"cases": CASES, "tests": [TEST]}},
    }
    (release.path / "dpone-scope.lock.json").write_text(json.dumps(lock))
    (release.path / "test_other.py").write_text("def test_other(): pass\n")
    return release


def _versions() -> dict[str, str]:
    from pytest_dpone.core.contracts import default_contracts
    from pytest_dpone.core.dataset import VERSION

    return {"dataset": VERSION, "contracts": default_contracts().version}


def scope(project: Project) -> Mapping[str, object]:
    """The gate's document of the last run, wherever it is."""
    (path,) = project.artifacts.rglob("scope_lock.json")
    data: dict[str, object] = json.loads(path.read_text())
    return data


def became(project: Project) -> dict[str, str]:
    """What became of all that is locked."""
    facts = scope(project)["facts"]
    assert isinstance(facts, Mapping)
    assert facts["basis"] == "lock"
    return {**facts["cases"], **facts["tests"]}


GREEN = {**dict.fromkeys(CASES, "passed"), TEST: "passed"}


def test_a_run_of_all_that_is_locked_is_go(locked: Project) -> None:
    result = locked.run(RELEASE)
    assert result.ret == 0, result.stdout.str()
    assert became(locked) == GREEN
    assert scope(locked)["passed"] is True
    listed = json.loads((locked.artifacts / "certification-pack/connector_certification_pack.json").read_text())
    assert {"scope_lock", "source_binding"} <= {row["name"] for row in listed["facts"]["exhibits"]}
    assert locked.run(LOCAL, "-k", "not scd2 and not postgres").ret == 1, "deselected, whatever the lock says"
    assert list(locked.artifacts.rglob("scope_lock.json")) == [], "a feature branch is not held to the lock"


SMALLER = [
    (["test_other.py"], {TEST: "not_run"}),
    (["-k", "not scd2"], {SCD2: "deselected"}),
    (["-k", "not postgres"], {TEST: "not_run"}),
    (["-m", "integration_matrix"], {TEST: "not_run"}),
    (["--deselect", f"dpone/test_matrix.py::test_case[{SCD2}]"], {SCD2: "deselected"}),
    (["--ignore", "test_services.py"], {TEST: "not_run"}),
    (["--dpone-case=*__scd2"], {CASES[0]: "missing", TEST: "not_run"}),
    (["--dpone-strategy=full_refresh"], {SCD2: "missing"}),
]


@pytest.mark.parametrize(("arguments", "lost"), SMALLER, ids=lambda value: " ".join(value)[:40])
def test_a_selection_can_not_shrink_the_scope_unseen(
    locked: Project, arguments: list[str], lost: dict[str, str]
) -> None:
    result = locked.run(RELEASE, *arguments)
    assert result.ret == 1
    assert became(locked) == {**GREEN, **lost}
    assert scope(locked)["passed"] is False
    result.stdout.re_match_lines([r"NO-GO: .*"])
    assert not any(
        json.loads(path.read_text())["passed"] for path in locked.artifacts.rglob("*release_evidence_pack.json")
    )


def test_what_ends_a_run_early_can_not_shrink_it(locked: Project) -> None:
    locked.behave({"*__full_refresh": "fail", "*": "release"})
    locked.run(RELEASE, "-x", "test_other.py")
    assert became(locked) == {CASES[0]: "failed", SCD2: "skipped", TEST: "not_run"}


def test_last_failed_can_not_shrink_it(locked: Project) -> None:
    locked.behave({"*__full_refresh": "fail", "*": "release"})
    assert locked.run(RELEASE).ret == 1
    locked.behave({"*": "release"})
    result = locked.run(RELEASE, "--lf")
    assert result.ret == 1
    assert became(locked) == {CASES[0]: "passed", SCD2: "deselected", TEST: "not_run"}


def test_a_smaller_ini_file_can_not_shrink_it(locked: Project) -> None:
    text = (locked.path / "tox.ini").read_text()
    (locked.path / "tox.ini").write_text(text.replace("    scd2\n", ""))
    result = locked.run(RELEASE)
    assert result.ret == 1
    assert became(locked) == {**GREEN, SCD2: "missing"}
    result.stdout.fnmatch_lines(
        [
            f"dpone: this run will end NO-GO: the scope lock names 1 cases that are not planned any more, such as {SCD2}",
            f"  {SCD2}.missing: {SCD2}: the run does not plan it, and the scope needs it",
            "NO-GO: 1 of 1 planned cases passed; *",
        ]
    )
    (locked.path / "dpone-scope.lock.json").unlink()
    assert locked.run(RELEASE).ret == 0, "without a lock the ini file says what a release needs"
    facts = scope(locked)["facts"]
    assert isinstance(facts, Mapping)
    assert (facts["basis"], facts["cases"], facts["tests"]) == ("ini", {CASES[0]: "passed"}, {})


MARK = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name.endswith({name!r}):
            item.add_marker(pytest.mark.{mark})
"""
MARKS = [
    ("scd2]", "skip(reason='not today')", {SCD2: "skipped"}),
    ("scd2]", "xfail(reason='known', run=False)", {SCD2: "skipped"}),
    ("test_postgres", "skip(reason='not today')", {TEST: "skipped"}),
    ("test_postgres", "xfail(reason='known', strict=False)", {TEST: "skipped"}),
    ("test_postgres", "xfail(reason='known', run=False)", {TEST: "skipped"}),
]


@pytest.mark.parametrize(("name", "mark", "lost"), MARKS)
def test_what_is_skipped_or_expected_to_fail_has_not_passed(
    locked: Project, name: str, mark: str, lost: dict[str, str]
) -> None:
    with (locked.path / "conftest.py").open("a") as file:
        file.write(MARK.format(name=name, mark=mark))
    result = locked.run(RELEASE)
    assert result.ret == 1
    assert became(locked) == {**GREEN, **lost}


def test_a_case_that_fails_as_expected_has_not_passed(locked: Project) -> None:
    locked.behave({"*__scd2": "fail", "*": "release"})
    with (locked.path / "conftest.py").open("a") as file:
        file.write(MARK.format(name="scd2]", mark="xfail(reason='known')"))
    assert locked.run(RELEASE).ret == 1
    assert became(locked) == {**GREEN, SCD2: "failed"}


@pytest.mark.apart
def test_a_dead_worker_can_not_shrink_it(locked: Project) -> None:
    pytest.importorskip("xdist")
    locked.behave({"*__scd2": "kill", "*": "release"})
    assert locked.run_apart(RELEASE, "-n2").ret == 1
    assert became(locked) == {**GREEN, SCD2: "crashed"}


FLAKY = """
from pathlib import Path
import pytest

@pytest.mark.integration_postgres
def test_postgres():
    seen = Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        {act}
"""
FLAKY_CASE = """

def release_record(case, engine, settings, real=release_record):
    seen = Path(__file__).with_name("seen")
    if case.strategy == "scd2" and not seen.exists():
        seen.touch()
        raise AssertionError("the first time")
    return real(case, engine, settings)
"""


@pytest.mark.apart
@pytest.mark.parametrize("workers", [[], ["-n2", "--dist=loadgroup"]])
def test_a_test_that_is_run_until_it_is_green_has_not_passed(locked: Project, workers: list[str]) -> None:
    pytest.importorskip("pytest_rerunfailures")
    (locked.path / "test_services.py").write_text(FLAKY.format(act="assert 0"))
    result = locked.pytester.runpytest_subprocess(*WITH_RERUNS, RELEASE, "--reruns=2", *workers, timeout=60)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            f"  {TEST}.rerun: {TEST}: it passed only after it was run again, and the scope needs it",
            "NO-GO: 2 of 2 planned cases passed; *",
        ]
    )
    assert became(locked) == {**GREEN, TEST: "rerun"}
    (locked.path / "seen").unlink()
    again = locked.pytester.runpytest_subprocess(*WITH_RERUNS, LOCAL, "--reruns=2", *workers, timeout=60)
    assert again.ret == 0, "a feature branch may live with it"
    counts = json.loads((locked.artifacts / "service_markers.json").read_text())["facts"]["markers"]
    assert counts["integration_postgres"]["rerun"] == 1


SECRETLY = """

def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import runtestprotocol

    if item.name == "test_postgres":
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed:
                break
        item._initrequest()
    return None
"""


def test_a_test_that_is_run_again_without_a_word_has_not_passed(locked: Project) -> None:
    (locked.path / "test_services.py").write_text(FLAKY.format(act="assert 0"))
    with (locked.path / "conftest.py").open("a") as file:
        file.write(SECRETLY)
    result = locked.run(RELEASE)
    assert result.ret == 1
    assert result.parseoutcomes()["passed"] == 4, "pytest knows of no failure"
    assert became(locked) == {**GREEN, TEST: "rerun"}


@pytest.mark.apart
def test_a_case_that_is_run_until_it_is_green_has_not_passed(locked: Project) -> None:
    pytest.importorskip("pytest_rerunfailures")
    with (locked.path / "conftest.py").open("a") as file:
        file.write(FLAKY_CASE)
    result = locked.pytester.runpytest_subprocess(*WITH_RERUNS, RELEASE, "--reruns=2", timeout=60)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 rerun*"])
    assert became(locked) == {**GREEN, SCD2: "failed"}


@pytest.mark.apart
def test_a_test_that_kills_its_worker_and_is_run_again_has_not_passed(locked: Project) -> None:
    pytest.importorskip("pytest_rerunfailures")
    pytest.importorskip("xdist")
    (locked.path / "test_services.py").write_text(FLAKY.format(act="import os; os.kill(os.getpid(), 9)"))
    locked.pytester.runpytest_subprocess(*WITH_RERUNS, RELEASE, "--reruns=2", "-n2", timeout=60)
    assert became(locked)[TEST] in ("rerun", "not_run")
    assert scope(locked)["passed"] is False


BROKEN = [
    ("{", "is not strict JSON: "),
    ("[]", "is not strict JSON: "),
    ('{"schema": "pytest-dpone/scope-lock/v1", "schema": "x"}', "occurs twice"),
    ("{}", "is malformed: "),
    ('{"dataset": "2", "contracts": "x", "profiles": {"real_local": {"cases": ["a"], "tests": []}}}', "lacks a field"),
]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_a_lock_that_can_not_be_read_is_never_taken_for_none(locked: Project, text: str, told: str) -> None:
    (locked.path / "dpone-scope.lock.json").write_text(text)
    result = locked.run(RELEASE)
    assert result.ret == 4
    assert told in result.stderr.str()
    assert "hint: run `pytest-dpone lock`, look at what changed, and commit it" in result.stderr.str()
    assert not locked.artifacts.exists()


def test_a_lock_that_is_no_file_is_never_taken_for_none(locked: Project) -> None:
    (locked.path / "dpone-scope.lock.json").unlink()
    (locked.path / "dpone-scope.lock.json").mkdir()
    result = locked.run(RELEASE)
    assert result.ret == 4
    assert "dpone-scope.lock.json is no regular file" in result.stderr.str()


@pytest.mark.parametrize("name", ["dataset", "contracts"])
def test_a_lock_of_another_version_is_red(locked: Project, name: str) -> None:
    path = locked.path / "dpone-scope.lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: "another"}))
    result = locked.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"  {name}.another_version: the lock is of another version of the {name}: *"])


def test_the_lock_is_written_and_compared(release: Project) -> None:
    (release.path / "test_services.py").write_text(
        "import pytest\n\n@pytest.mark.integration_live\ndef test_live(): assert 0\n\n"
        "@pytest.mark.integration_postgres\n@pytest.mark.parametrize('n', [2, 1])\ndef test_postgres(n): assert 0\n\n"
        "@pytest.mark.integration_matrix\ndef test_mine(dpone_case): assert 0\n\ndef test_plain(): assert 0\n"
    )
    missing = release.run(RELEASE, "--dpone-lock=check")
    assert missing.ret == 1
    missing.stdout.fnmatch_lines(["FAILED: there is no dpone-scope.lock.json", "hint: run `pytest-dpone lock`, *"])
    written = release.run(RELEASE, "--dpone-lock=write")
    assert written.ret == 0
    written.stdout.fnmatch_lines(["dpone-scope.lock.json: real_local 2 cases, 4 tests; vendor_live 2 cases, 5 tests"])
    lock = json.loads((release.path / "dpone-scope.lock.json").read_text())
    tests = [f"test_services.py::{name}" for name in (
        "test_mine[alpha_to_beta__full_refresh]", "test_mine[alpha_to_beta__scd2]", "test_postgres[1]", "test_postgres[2]",
    )]  # fmt: skip
    assert lock == {
        "schema": "pytest-dpone/scope-lock/v1",
        **_versions(),
        "profiles": {
            "real_local": {"cases": CASES, "tests": tests},
            "vendor_live": {"cases": CASES, "tests": sorted([*tests, "test_services.py::test_live"])},
        },
    }
    assert not release.artifacts.exists(), "nothing is run"
    same = release.run(RELEASE, "--dpone-lock=check")
    assert same.ret == 0
    same.stdout.fnmatch_lines(["dpone-scope.lock.json is up to date: *"])
    release.behave({}, ("full_refresh", "scd2", "replace"))
    (release.path / "tox.ini").write_text((release.path / "tox.ini").read_text().replace("    scd2", "    replace"))
    other = release.run(RELEASE, "--dpone-lock=check")
    assert other.ret == 1
    other.stdout.fnmatch_lines(
        [
            "  real_local: + alpha_to_beta__replace",
            "  real_local: - alpha_to_beta__scd2",
            "FAILED: dpone-scope.lock.json is not up to date",
        ]
    )
    assert release.run(RELEASE, "--dpone-lock=write").ret == 0
    assert release.run(RELEASE, "--dpone-lock=check").ret == 0


def test_what_can_not_be_collected_is_not_locked(release: Project) -> None:
    (release.path / "test_broken.py").write_text("import nothing_of_that_name\n")
    assert release.run(RELEASE, "--dpone-lock=write").ret != 0
    assert not (release.path / "dpone-scope.lock.json").exists()


WRONG = [
    ([LOCAL, "--dpone-lock=write"], "--dpone-lock is of a release's scope"),
    ([RELEASE, "--dpone-lock=write", "--dpone-strategy=scd2"], "--dpone-lock contradicts the selection of cases"),
    ([RELEASE, "--dpone-lock=other"], "--dpone-lock: unknown value 'other'"),
    ([RELEASE, "-o", "dpone_lock=write"], "ini key dpone_lock: with it no run would certify anything"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_a_lock_of_less_is_wrong_use(release: Project, arguments: list[str], told: str) -> None:
    result = release.run(*arguments)
    assert result.ret == 4
    assert told in result.stderr.str()
    assert not (release.path / "dpone-scope.lock.json").exists()
