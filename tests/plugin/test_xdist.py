"""One path with and without xdist: the same records, and a dead worker loses its unfinished case only."""

from __future__ import annotations

import json

import pytest

from .conftest import Project

pytestmark = pytest.mark.apart

pytest.importorskip("xdist")

FULL = "--dpone-profile=local_live"
SIX = ("full_refresh", "incremental_append", "replace", "snapshot_diff", "scd2", "backfill")


def records(project: Project) -> dict[str, object]:
    """All artifacts, without what is different in every run."""
    found: dict[str, object] = {}
    for path in sorted((project.artifacts / "matrix").glob("*.json")):
        data = json.loads(path.read_text())
        for key in ("run_id", "generated_at", "content_sha256"):
            del data[key]
        found[path.name] = data
    return found


@pytest.mark.parametrize("workers", [["-n2"], ["-n2", "--dist=loadgroup"], ["-n3", "--dist=worksteal"]])
def test_the_same_records_with_and_without_workers(project: Project, workers: list[str]) -> None:
    project.behave({"*__replace": "fail", "*__scd2": "todo"}, strategies=SIX)
    alone = project.run_apart(FULL, "-n0")
    expected = records(project)
    shared = project.run_apart(FULL, *workers)
    assert (alone.ret, shared.ret) == (1, 1)
    alone.assert_outcomes(passed=4, failed=1, skipped=1)
    shared.assert_outcomes(passed=4, failed=1, skipped=1)
    assert records(project) == expected
    headline = "FAILED: 4 of 6 planned cases passed; 1 failed; 1 not implemented yet"
    for result in (alone, shared):
        result.stdout.fnmatch_lines(["alpha → beta ok      ok      FAIL    ok      todo    ok", headline])


def test_a_killed_worker_loses_its_unfinished_case_only(project: Project) -> None:
    project.behave({"*__replace": "kill"}, strategies=SIX)
    result = project.run_apart(FULL, "-n2")
    assert result.ret == 1
    assert project.verdicts() == {name: "crashed" if name == "replace" else "passed" for name in SIX}
    result.stdout.fnmatch_lines(
        [
            "NOT RUN, crashed alpha_to_beta__replace",
            "  worker 'gw?' crashed while running*",
            "FAILED: 5 of 6 planned cases passed; 1 crashed",
        ]
    )
    behavior = json.loads((project.artifacts / "matrix" / "alpha_to_beta__replace__behavior.json").read_text())
    assert behavior["passed"] is False
    assert (behavior["record"]["verdict"], behavior["record"]["reason"]) == ("not_run", "crashed")


def test_acts_are_shown_with_workers(project: Project) -> None:
    result = project.run_apart(FULL, "-n2", "-vv")
    result.stdout.fnmatch_lines(["    load * 1000 rows   engine*"])


def test_inactive_workers_do_nothing(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.integration_minio\ndef test_a(): pass\ndef test_b(): pass")
    result = project.run_apart("-n2")
    result.assert_outcomes(passed=1, skipped=1)
    assert not project.artifacts.exists()


def test_a_case_alone_with_workers(project: Project) -> None:
    project.pytester.makepyfile("def test_mine(): raise SystemExit")
    result = project.run_apart("-n2", "--dpone-case=*__scd2")
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_wrong_use_is_told_before_a_worker_starts(project: Project) -> None:
    result = project.run_apart("-n2", "--dpone-case=*__cdc")
    assert result.ret == 4
    assert "no planned case has the case '*__cdc'" in result.stderr.str()
    assert "gw0" not in result.stdout.str()
