"""What the cases leave: records, artifacts, the section of the terminal, the exit status."""

from __future__ import annotations

import json

import pytest

from .conftest import Project

FULL = "--dpone-profile=local_live"
THREE = ("full_refresh", "replace", "scd2")


def test_a_green_run(project: Project) -> None:
    result = project.run(FULL)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "=* dpone *=",
            "*full    replace scd2",
            "alpha → beta ok      ok      ok",
            "gates: certification_report ok · service_markers ok · *",
            "artifacts: */test_artifacts/live_certification",
            "PASSED (3 of 3 planned cases passed)",
            "=*3 passed*",
        ],
        consecutive=False,
    )
    report = project.report()
    assert report["schema"] == "pytest-dpone/certification-report/v1"
    assert (report["passed"], report["blockers"], report["profile"]) == (True, [], "local_live")
    assert (report["run_mode"], report["release"]) == ("real_local", None)
    assert report["counts"] == {"passed": 3, "failed": 0, "not_run": 0}
    assert len(report["excluded"]) == 7  # type: ignore[arg-type]
    names = {path.name for path in (project.artifacts / "matrix").iterdir()}
    cases = {f"alpha_to_beta__{name}__behavior" for name in THREE}
    both = {f"{stem}.{suffix}" for stem in {*cases, "certification_report"} for suffix in ("json", "md")}
    assert names == both | {".lock"}
    behavior = json.loads((project.artifacts / "matrix" / "alpha_to_beta__scd2__behavior.json").read_text())
    assert behavior["schema"] == "pytest-dpone/case-behavior/v1"
    assert (behavior["passed"], behavior["run_id"]) == (True, report["run_id"])
    assert behavior["record"]["acts"][0]["checks"][0]["name"] == "rows"


def test_what_is_not_implemented_is_tolerated_and_said(project: Project) -> None:
    project.behave({"*__scd2": "todo"})
    result = project.run(FULL, "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "SKIPPED*not implemented yet: the mover can't do it",
            "alpha → beta ok      ok      todo",
            "not implemented yet (1): 1 × the mover can't do it",
            "PASSED (reduced scope: 2 of 3 planned cases passed; 1 not implemented yet)",
        ]
    )
    assert project.verdicts()["scd2"] == "not implemented yet"


def test_a_red_case_names_act_check_rows_and_rerun(project: Project) -> None:
    project.behave({"*__replace": "fail"})
    result = project.run(FULL)
    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "FAILED alpha_to_beta__replace (engine native, 1000 rows, seed 1)",
            "  act change:",
            "    check rows: (differ)",
            "    10 rows expected, 9 found: 1 missing, 0 extra, 1 changed, 0 duplicated",
            "      changed id=7",
            "        am\\x1bount: expected 1.50, got 1.5",
            "  rerun: pytest --dpone-case=alpha_to_beta__replace --dpone-rows=1000 --dpone-seed=1",
            "=* dpone *=",
            "alpha → beta ok      FAIL    ok",
            "FAILED alpha_to_beta__replace (engine native, 1000 rows, seed 1)",
            "  act change, check rows: differ",
            "  rerun: pytest --dpone-case=alpha_to_beta__replace --dpone-rows=1000 --dpone-seed=1",
            "FAILED: 2 of 3 planned cases passed; 1 failed",
        ]
    )
    assert "\x1bount" not in result.stdout.str()
    assert "attempt.py" not in result.stdout.str(), "the traceback of the harness says nothing to a user"
    assert project.report()["blockers"] == ["alpha_to_beta__replace.failed"]


def test_the_printed_rerun_command_works(project: Project) -> None:
    project.behave({"*__replace": "fail"})
    first = project.run(FULL, "--dpone-rows=7", "--dpone-seed=3")
    command = next(line for line in first.outlines if line.startswith("  rerun: ")).removeprefix("  rerun: ")
    second = project.run(*command.split()[1:])
    second.assert_outcomes(failed=1)
    second.stdout.fnmatch_lines(["FAILED alpha_to_beta__replace (engine native, 7 rows, seed 3)"])


def test_acts_are_shown_with_v_and_less_with_q(project: Project) -> None:
    line = "    passed in 0.00 s: load 0.25, change 0.00"
    loud = project.run(FULL, "-v", "--dpone-rows=77")
    loud.stdout.fnmatch_lines(["*full_refresh[]] PASSED*", line])
    assert loud.outlines.count(line) == 3
    assert "1 of 1 checks" not in loud.stdout.str()
    acts = ["*full_refresh[]]*PASSED*", line, "    load * 77 rows   engine    0.25 s*1 of 1 checks"]
    project.run(FULL, "-vv", "--dpone-rows=77").stdout.fnmatch_lines(acts)
    assert "    passed in" not in project.run(FULL).stdout.str()
    quiet = project.run(FULL, "-q")
    assert quiet.ret == 0
    quiet.stdout.fnmatch_lines(["PASSED (3 of 3 planned cases passed)"])
    assert "alpha → beta" not in quiet.stdout.str()
    assert "artifacts:" not in quiet.stdout.str()


@pytest.mark.parametrize("arguments", [["-k", "not scd2"], ["--deselect", "dpone/test_matrix.py"], ["-k", "nothing"]])
def test_a_planned_case_without_a_record_is_red(project: Project, arguments: list[str]) -> None:
    result = project.run(FULL, *arguments)
    assert result.ret == 1
    assert project.verdicts()["scd2"] == "deselected"
    assert "alpha_to_beta__scd2.not_run" in project.report()["blockers"]  # type: ignore[operator]
    result.stdout.fnmatch_lines(["FAILED: *deselected"])


def test_a_run_that_stops_early_is_red(project: Project) -> None:
    project.behave({"*__full_refresh": "fail"})
    result = project.run(FULL, "-x")
    assert result.ret != 0
    assert project.verdicts() == {"full_refresh": "failed", "replace": "skipped", "scd2": "skipped"}
    assert "stopping after 1 failures" in str(project.report()["cases"])


@pytest.mark.apart
def test_an_interrupt_leaves_a_red_report(project: Project) -> None:
    project.behave({"*__replace": "interrupt"})
    result = project.run_apart(FULL)
    assert result.ret == 2
    assert project.verdicts() == {"full_refresh": "passed", "replace": "skipped", "scd2": "skipped"}
    assert project.report()["passed"] is False


def test_a_broken_test_file_leaves_a_red_report(project: Project) -> None:
    project.pytester.makepyfile("import nothing_like_this")
    result = project.run(FULL)
    assert result.ret == 2
    assert set(project.verdicts().values()) == {"skipped"}


def test_a_wrong_path_is_wrong_use_and_leaves_nothing_green(project: Project) -> None:
    assert project.run(FULL).ret == 0
    result = project.run(FULL, "no_such_file.py")
    assert result.ret == 4
    assert not (project.artifacts / "matrix" / "certification_report.json").exists()


def test_stale_artifacts_go_and_foreign_files_stay(project: Project) -> None:
    project.behave({}, strategies=(*THREE, "cdc"))
    project.run(FULL)
    matrix = project.artifacts / "matrix"
    assert (matrix / "alpha_to_beta__cdc__behavior.md").exists()
    (matrix / "mine__behavior.json").write_text('{"schema": "mine/v1", "passed": true}')
    (matrix / "broken.json").write_text("{")
    (matrix / "notes.md").write_text("keep me")
    project.behave({})
    assert project.run(FULL).ret == 0
    names = {path.name for path in matrix.iterdir()}
    assert not {"alpha_to_beta__cdc__behavior.json", "alpha_to_beta__cdc__behavior.md"} & names
    assert {"mine__behavior.json", "broken.json", "notes.md"} <= names


@pytest.mark.parametrize("selection", ["--dpone-case=*__scd2", "--dpone-strategy=scd2"])
def test_a_selection_never_writes_over_a_full_run(project: Project, selection: str) -> None:
    project.run(FULL)
    before = project.report()
    result = project.run(selection)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED (reduced scope: 1 of 1 selected case (of 3 planned) passed)"])
    assert project.report() == before
    (folder,) = (project.artifacts / "cases").iterdir()
    assert project.verdicts(folder / "matrix") == {"scd2": "passed"}
    assert project.report(folder / "matrix")["run_id"] == folder.name


def test_the_release_profile_accepts_nothing_less(project: Project) -> None:
    project.behave({"*__scd2": "todo"})
    result = project.run("--dpone-profile=real_local")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "dpone: this run will end NO-GO: no release is named (dpone_release)",
            "  integration_matrix.not_run: integration_matrix: 1 not implemented yet",
            "  baseline.missing: there is no baseline to compare with: *",
            "  bounds.missing: no bound is given: *",
            "  evidence.nothing_checked: nothing was checked",
            "  release.missing: no release is named: *",
            "  alpha_to_beta__scd2.not_run",
            "NO-GO: 2 of 3 planned cases passed; 1 not implemented yet; 6 blockers",
        ]
    )
    assert project.report()["passed"] is False
    project.behave({})
    assert project.run("--dpone-profile=real_local").ret == 1
    assert project.report()["passed"] is True, "the cases are green, the release is not"
    narrowed = project.run("--dpone-profile=real_local", "--dpone-strategy=scd2")
    assert narrowed.ret == 1
    narrowed.stdout.fnmatch_lines(["  scope.reduced", "NO-GO: 1 of 1 selected case (of 3 planned) passed; * blockers"])


def test_a_test_that_fails_after_its_case_has_passed_is_red(project: Project) -> None:
    project.behave({}, strategies=("scd2",))
    project.pytester.makepyfile("def test_m(dpone_case, dpone_certify):\n    dpone_certify()\n    assert 1 == 2")
    result = project.run(FULL)
    assert result.ret == 1
    assert project.verdicts() == {"scd2": "failed"}
    detail = "the test failed after its case had passed: assert 1 == 2"
    assert project.report()["cases"][0]["detail"] == detail  # type: ignore[index]


def test_a_fixture_that_breaks_is_a_failed_case(project: Project) -> None:
    project.behave({}, strategies=("scd2",))
    project.pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def before(): raise RuntimeError("no mover")
        @pytest.fixture
        def after():
            yield
            raise RuntimeError("can't clean up")
        def test_a(dpone_case, before): pass
        def test_b(dpone_case, dpone_certify, after): dpone_certify()
        """
    )
    result = project.run(FULL)
    result.assert_outcomes(errors=2, passed=2)
    assert project.verdicts() == {"scd2": "failed"}
    result.stdout.fnmatch_lines(["*the test failed in its setup phase, before a case was certified: *no mover"])


def test_a_test_that_skips_itself_is_no_pass(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    project.behave({}, strategies=("scd2",))
    project.pytester.makepyfile("import pytest\ndef test_m(dpone_case): pytest.skip('not today')")
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["skipped (1): 1 × not today", "FAILED: 0 of 1 planned cases passed; 1 skipped"])


def test_an_expected_failure_does_not_make_a_red_case_green(project: Project) -> None:
    project.behave({"*": "fail"}, strategies=("scd2",))
    project.pytester.makepyfile(
        "import pytest\n@pytest.mark.xfail\ndef test_m(dpone_case, dpone_certify): dpone_certify()"
    )
    result = project.run(FULL, "--deselect", "dpone")
    assert result.ret == 1
    assert project.verdicts() == {"scd2": "failed"}


def test_users_certify_their_own_mover_in_one_call(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    project.behave({"*": "fail"})
    project.pytester.makepyfile(
        """
        from conftest import Mover
        def test_my_mover(dpone_case, dpone_certify):
            record = dpone_certify(engine=Mover("mine"))
            assert record.case_id == dpone_case.case_id and record.engine == "mine"
        """
    )
    result = project.run("-p", "no:xdist")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["PASSED (3 of 3 planned cases passed)"])
    (folder,) = (project.artifacts / "cases").iterdir()
    assert set(project.verdicts(folder / "matrix").values()) == {"passed"}


def test_only_what_was_asked_for_counts_without_a_profile(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPONE_RUN_INTEGRATION", "1")
    project.pytester.makepyfile("def test_m(dpone_case, dpone_certify): dpone_certify()")
    result = project.run("-k", "scd2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED (reduced scope: 1 of 1 selected case (of 3 planned) passed)"])
    project.pytester.makepyfile("def test_m(): pass")
    nothing = project.run()
    assert nothing.ret == 0
    nothing.stdout.no_fnmatch_line("PASSED (*")


def test_the_engine_fixture_is_a_place_to_override(project: Project) -> None:
    project.behave({"*": "fail"}, strategies=("scd2",))
    with (project.path / "conftest.py").open("a") as conftest:
        conftest.write("\nimport pytest\n@pytest.fixture(scope='session')\ndef dpone_engine(): return Mover('mine')\n")
    assert project.run(FULL).ret == 0
    assert project.report()["cases"][0]["engine"] == "mine"  # type: ignore[index]


def test_an_engine_by_name_comes_from_the_hook(project: Project) -> None:
    project.behave({"*": "fail"}, strategies=("scd2",))
    assert project.run(FULL, "--dpone-engine=mine").ret == 0
    assert project.report()["cases"][0]["engine"] == "mine"  # type: ignore[index]


def test_the_worst_record_of_a_case_counts(project: Project) -> None:
    project.behave({"*": "fail"}, strategies=("scd2",))
    project.pytester.makepyfile(
        "from conftest import Mover\ndef test_m(dpone_case, dpone_certify): dpone_certify(engine=Mover('mine'))"
    )
    result = project.run(FULL)
    result.assert_outcomes(passed=1, failed=1)
    assert project.verdicts() == {"scd2": "failed"}


def test_certify_without_a_case_says_what_is_missing(project: Project) -> None:
    project.pytester.makepyfile("def test_m(dpone_certify): dpone_certify()")
    result = project.run(FULL)
    result.stdout.fnmatch_lines(["*dpone_certify needs a case: ask for the fixture dpone_case as well*"])
    assert result.ret == 1


def test_a_case_that_is_not_planned_is_refused(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest
        from pytest_dpone import Case, Strategy
        @pytest.mark.parametrize("dpone_case", [Case("alpha", "beta", Strategy.CDC)])
        def test_m(dpone_case, dpone_certify): dpone_certify()
        """
    )
    result = project.run(FULL)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is refused: alpha_to_beta__cdc is not in the scope of this run*"])
    assert project.report()["blockers"] == ["records.refused"]


def test_two_runs_at_once_do_not_share_a_folder(project: Project) -> None:
    from pytest_dpone.evidence.artifacts import hold

    assert project.run(FULL).ret == 0
    before = project.report()
    handle = hold(project.artifacts / "matrix")
    assert handle is not None
    try:
        second = project.run(FULL)
    finally:
        import os

        os.close(handle)
    assert second.ret == 0
    second.stdout.fnmatch_lines(["dpone: another run writes to *, so this one has a folder of its own"])
    assert project.report() == before
    (folder,) = (project.artifacts / "runs").iterdir()
    assert project.report(folder / "matrix")["passed"] is True


@pytest.mark.apart
def test_a_full_disk_is_red_and_told(project: Project) -> None:
    with (project.path / "conftest.py").open("a") as conftest:
        conftest.write(
            """
import errno
from pytest_dpone.evidence import artifacts

def pytest_collection_finish():
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")
    artifacts.os = type("Full", (), {**vars(os), "fsync": staticmethod(full)})
"""
        )
    result = project.run_apart(FULL)
    assert result.ret == 1
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*__behavior.json can't be written: No space left on device",
            "hint: free some space on that disk and run again",
            "FAILED: 3 of 3 planned cases passed; 1 blocker beside the cases: artifacts.not_written",
        ]
    )
    assert [path.name for path in (project.artifacts / "matrix").iterdir()] == [".lock"]


def test_the_plugin_works_without_a_terminal(project: Project) -> None:
    assert project.run(FULL, "-p", "no:terminal").ret == 0
    assert project.report()["passed"] is True
