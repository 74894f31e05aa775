"""The gates of a run at its end: what is written, what it says, and what the exit status is."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_dpone.core.gates.documents import BY_SCHEMA, KINDS, json_schemas

from .conftest import LIGHT, WORKERS, Project

FULL = "--dpone-profile=local_live"
RELEASE = "--dpone-profile=real_local"

ALWAYS = {
    "plan/live_certification_plan",
    "matrix/certification_report",
    "service_markers",
    "source_binding",
    "observability/runtime_metrics",
    "benchmark-slo/benchmark_slo_gate",
    "certification-pack/connector_certification_pack",
    "artifact-index/artifact_index",
    "evidence-chain/evidence_chain_index",
}
FOR_RELEASE = {
    "scope_lock",
    "benchmark-slo/benchmark/benchmark_baseline",
    "performance-certification/performance_certification",
    "state_evidence",
    "reconciliation_evidence",
    "live-state-reconciliation/live_state_reconciliation",
    "pre-release/pre_release_checklist",
    "release-evidence/release_evidence_pack",
}


def documents(folder: Path) -> set[str]:
    """Paths of the JSON documents with a Markdown twin, without endings, but those of cases and of the chain's log."""
    found = {path for path in folder.rglob("*.json") if path.with_suffix(".md").exists()}
    return {str(path.relative_to(folder))[:-5] for path in found if not path.name.endswith("__behavior.json")}


def read(path: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads(path.read_text())
    return data


def head(path: Path) -> dict[str, object]:
    return {name: value for name, value in read(path).items() if name in ("run_id", "release", "profile", "origin")}


@pytest.mark.parametrize("workers", WORKERS)
def test_a_release_run_is_go_and_writes_the_whole_tree(release: Project, workers: list[str]) -> None:
    result = release.run_with(workers, RELEASE)
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        ["*release_evidence_pack ok", "GO (2 of 2 planned cases passed; the ini file plans 2 of 3)"]
    )
    assert documents(release.artifacts) == ALWAYS | FOR_RELEASE
    schemas = json_schemas()
    for kind in KINDS:
        path = release.artifacts / kind.path
        if kind.name in ("integration_matrix_report", "shard", "shards"):
            continue
        data = read(path)
        assert BY_SCHEMA[str(data["schema"])] is kind
        assert data["passed"] is True
        jsonschema.Draft202012Validator(schemas[f"{kind.name}.schema.json"]).validate(data)
        run_id = str(read(release.artifacts / "matrix/certification_report.json")["run_id"])
        told = {"run_id": run_id, "profile": "real_local", "release": "v0.7.1", "origin": "run"}
        assert head(path) == told, kind.name
    listed = {row["path"] for row in read(release.artifacts / "artifact-index/artifact_index.json")["facts"]["files"]}  # type: ignore[index]
    assert {"junit.xml", "service_markers.json", "matrix/alpha_to_beta__scd2__behavior.md"} <= listed
    pack = (release.artifacts / "release-evidence/release_evidence_pack.md").read_text()
    assert "self-asserted: cli\\_commands, run\\_cli" in pack
    assert "source\\_sink\\_matrix" not in pack.partition("self-asserted")[2].partition("\n")[0]
    checks = read(release.artifacts / "pre-release/pre_release_checklist.json")["facts"]["items"]  # type: ignore[index]
    assert {row["name"] for row in checks if row["by"] == "run"} == {"source_sink_matrix", "contracts_guardrails"}


def test_metrics_of_cases_and_run(release: Project) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    release.run(RELEASE)
    folder = release.artifacts / "observability"
    facts = read(folder / "runtime_metrics.json")["facts"]
    assert isinstance(facts, Mapping)
    assert facts["totals"] == {
        "duration_seconds": 3.0,
        "failure_rate": 0.0,
        "throughput_rows_per_second": 2000.0,
        "rows": 2000,
        "bytes": 2000,
        "memory_peak_mb": 12.5,
        "freshness_lag_seconds": 0.5,
    }
    case = facts["cases"][0]
    assert case["metrics"]["failure_rate"] == 0
    assert case["acts"][0]["phases"] == {"stage": 0.25}
    families = list(text_string_to_metric_families((folder / "runtime_metrics.prom").read_text()))
    assert "dpone_run_failure_rate" in {family.name for family in families}
    for line in (folder / "runtime_metrics.otlp.jsonl").read_text().splitlines():
        assert json.loads(line)["resourceMetrics"]


def test_a_feature_run_writes_what_it_can_judge_and_says_what_it_can_not(project: Project) -> None:
    result = project.run(FULL)
    assert result.ret == 0
    assert documents(project.artifacts) == ALWAYS
    result.stdout.fnmatch_lines(
        [
            "performance_certification was not run: no bound is given: *",
            "state was not run: no case of this run keeps a state and reconciles deletes",
        ]
    )
    gate = read(project.artifacts / "benchmark-slo/benchmark_slo_gate.json")
    assert gate["passed"] is True
    assert [row["rule"] for row in gate["results"]] == ["not run", "maximum"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "data", "blocker"),
    [
        ("objectives", {"throughput_rows_per_second": {"min": 10**9}}, "throughput_rows_per_second.below_minimum"),
        ("objectives", {"unheard_of": {"max": 1}}, "unheard_of.missing"),
        ("baseline", {"duration_seconds": {"value": 0.001, "direction": "lower"}}, "duration_seconds.regression"),
        ("minimum", {"rows": 10**9}, "rows.below_minimum"),
        ("maximum", {"memory_peak_mb": 1}, "memory_peak_mb.above_maximum"),
    ],
)
def test_a_red_gate_is_a_red_run(release: Project, name: str, data: object, blocker: str) -> None:
    (release.path / "gate.json").write_text(json.dumps(data))
    for profile, word in ((FULL, "FAILED"), (RELEASE, "NO-GO")):
        result = release.run(profile, f"--dpone-{name}=gate.json")
        assert result.ret == 1
        result.stdout.fnmatch_lines([f"  {blocker}: *", f"{word}: 2 of 2 planned cases passed*"])


BAD = [
    (["--dpone-release=v1.0.0"], "--dpone-release has no run that it is for"),
    (["--dpone-update-baseline"], "--dpone-update-baseline has no run that it is for"),
    ([FULL, "-m", "integration_minio", "--dpone-update-baseline"], "--dpone-update-baseline has no run that it is for"),
    ([RELEASE, "--dpone-release=next"], "the release 'next' is no version"),
    ([RELEASE, "--dpone-release=../x"], "is no name for a release"),
    ([RELEASE, "--dpone-release=v2.0.0"], "the release type minor is weaker than v2.0.0, a major release"),
    ([RELEASE, "--dpone-release-type=tiny"], "--dpone-release-type: unknown value 'tiny'"),
    ([RELEASE, "--dpone-check=documentation"], "--dpone-check: 'documentation' is not name=true"),
    ([RELEASE, "--dpone-check=documentation=1"], "--dpone-check: '1' is neither true nor false"),
    ([RELEASE, "--dpone-check=a=true,a=false"], "--dpone-check: a is set more than once"),
    ([RELEASE, "--dpone-check=a b=true"], "--dpone-check: 'a b=true' is not name=true"),
    ([RELEASE, "--dpone-objectives=none.json"], "dpone_objectives: *none.json is missing"),
    ([RELEASE, "--dpone-objectives=nan.json"], "dpone_objectives: *nan.json is not strict JSON: NaN is no JSON number"),
    ([RELEASE, "--dpone-objectives=empty.json"], "the objectives are empty"),
    ([RELEASE, "--dpone-baseline=none.json"], "dpone_baseline: *none.json is missing\nhint: --dpone-update-baseline"),
    ([RELEASE, "--dpone-baseline=empty.json"], "the baseline are empty"),
    ([RELEASE, "--dpone-minimum=text.json"], "the minimum of 'rows' is a text, not a number"),
    ([RELEASE, "--dpone-maximum=."], "dpone_maximum: * is no regular file"),
    ([RELEASE, "--dpone-accept-fidelity=emulated"], "is for patch releases only, and this is a minor release"),
    ([RELEASE, "--dpone-accept-fidelity=real"], "--dpone-accept-fidelity: unknown value 'real'"),
    (
        [RELEASE, "--dpone-update-baseline", "--dpone-strategy=scd2"],
        "--dpone-update-baseline contradicts the selection",
    ),
    ([RELEASE, "--dpone-matrix-dir=../elsewhere"], "--dpone-matrix-dir: * lies outside of *"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[" ".join(words)[-40:] for words, _ in BAD])
def test_wrong_inputs_are_wrong_use_before_anything_is_written(
    release: Project, arguments: list[str], text: str
) -> None:
    for name, content in {"nan": '{"a": {"max": NaN}}', "empty": "{}", "text": '{"rows": "1"}'}.items():
        (release.path / f"{name}.json").write_text(content)
    result = release.run(*arguments)
    assert result.ret == 4
    result.stderr.re_match_lines_random([".*" + part for part in _patterns(text)])
    assert "hint: " in result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not release.artifacts.exists()


def _patterns(text: str) -> list[str]:
    import re

    return [re.escape(line).replace(r"\*", ".*") for line in text.splitlines()]


def test_the_first_baseline(release: Project) -> None:
    (release.path / "baseline.json").unlink()
    first = release.run(RELEASE, "--dpone-update-baseline")
    assert first.ret == 1, "nothing to compare with, so no release"
    first.stdout.fnmatch_lines(
        [
            "  baseline.missing: *",
            "baseline */baseline.json; the next run is held to it:",
            "  throughput_rows_per_second: 2000.0, new",
        ]
    )
    rows = read(release.path / "baseline.json")
    assert set(rows) == {"throughput_rows_per_second", "memory_peak_mb", "freshness_lag_seconds"}
    assert release.run(RELEASE).ret == 0
    rows["throughput_rows_per_second"] = {"value": 1000, "direction": "higher", "max_regression_ratio": 0.25}
    (release.path / "baseline.json").write_text(json.dumps(rows))
    second = release.run(RELEASE, "--dpone-update-baseline")
    assert second.ret == 0
    second.stdout.fnmatch_lines(["  throughput_rows_per_second: 1000 → 2000.0", "  memory_peak_mb: 12.5, unchanged"])
    kept = read(release.path / "baseline.json")["throughput_rows_per_second"]
    assert kept == {"value": 2000.0, "direction": "higher", "max_regression_ratio": 0.25}


def test_a_red_run_writes_no_baseline(release: Project) -> None:
    release.behave({"*": "fail"})
    before = (release.path / "baseline.json").read_text()
    result = release.run(FULL, "--dpone-update-baseline")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*/baseline.json was not written: the cases are not green"])
    assert (release.path / "baseline.json").read_text() == before


def test_a_person_may_take_back_what_the_run_knows_and_never_give_it(release: Project) -> None:
    result = release.run(RELEASE, "--dpone-check=source_sink_matrix=false,package=true")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  source_sink_matrix.not_done: *(self-asserted)"])
    release.behave({"*": "fail"})
    result = release.run(RELEASE, "--dpone-check=source_sink_matrix=true")
    result.stdout.fnmatch_lines(["  source_sink_matrix.not_done: *(from the run)"])


def test_accepted_fidelity_is_said(release: Project) -> None:
    text = (release.path / "conftest.py").read_text().replace('fidelity="real"', 'fidelity="emulated"')
    (release.path / "conftest.py").write_text(text)
    assert release.run(RELEASE).ret == 1
    result = release.run(RELEASE, "--dpone-release-type=patch", "--dpone-accept-fidelity=emulated")
    assert result.ret == 0
    pack = (release.artifacts / "release-evidence/release_evidence_pack.md").read_text()
    assert "accepted beside real services: emulated" in pack


MARKED = """
import pytest

@pytest.mark.integration_postgres
def test_green(): pass

@pytest.mark.integration_postgres
@pytest.mark.integration_minio
def test_two(): pass

@pytest.mark.integration_postgres
def test_skipped(): pytest.skip("not today")

@pytest.mark.integration_minio
def test_red(): assert 0

@pytest.mark.integration_minio
@pytest.mark.xfail(reason="known")
def test_expected(): assert 0

@pytest.mark.integration_kafka
def test_teardown(request): request.addfinalizer(lambda: 1 / 0)

@pytest.mark.integration_clickhouse
def test_deselected(): pass

@pytest.mark.integration_clickhouse
def test_selected(): pass
"""


@pytest.mark.parametrize("workers", WORKERS)
def test_tests_are_counted_by_marker(project: Project, workers: list[str]) -> None:
    project.behave({"*__scd2": "todo"})
    project.pytester.makepyfile(MARKED)
    result = project.run_with(workers, FULL, "-k", "not deselected")
    assert result.ret == 1
    document = read(project.artifacts / "service_markers.json")
    markers = {
        name: {word: count for word, count in row.items() if count}
        for name, row in document["facts"]["markers"].items()  # type: ignore[index]
    }
    assert markers == {
        "integration_postgres": {"passed": 2, "skipped": 1},
        "integration_minio": {"passed": 1, "failed": 1, "skipped": 1},
        "integration_kafka": {"failed": 1},
        "integration_clickhouse": {"passed": 1, "not_run": 1},
        "integration_matrix": {"passed": 2, "not_implemented": 1},
    }
    assert document["blockers"] == [
        "integration_postgres.not_run",
        "integration_clickhouse.not_run",
        "integration_kafka.failed",
        "integration_minio.failed",
    ]
    result.stdout.fnmatch_lines(["  integration_minio.failed: integration_minio: 1 failed, 1 skipped"])


def test_a_release_needs_a_test_of_each_service_that_its_cases_used(release: Project) -> None:
    (release.path / "test_services.py").unlink()
    result = release.run(RELEASE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["  service_markers.red: *integration_postgres.missing*"])


def test_the_summary_of_a_github_step(release: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = release.path / "summary.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    release.run(RELEASE)
    assert path.read_text().startswith("before\n## pytest-dpone: GO \\(2 of 2")
    release.behave({"*__scd2": "fail", "*": "release"})
    release.run(RELEASE)
    told = path.read_text().rpartition("## pytest-dpone")[2]
    assert told.startswith(": NO-GO")
    assert "- `alpha_to_beta__scd2.failed`" in told
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(release.path / "no" / "summary.md"))
    result = release.run(RELEASE)
    result.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY: */no/summary.md can't be written: No such file or directory"])


@pytest.mark.apart
def test_the_plan_starts_nothing(release: Project) -> None:
    result = release.run_apart(RELEASE, "--dpone-plan", "-n2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "profile real_local, 1000 rows",
            "  alpha → beta: full_refresh, scd2",
            "estimate: none, there is no earlier run here",
        ]
    )
    assert "workers" not in result.stdout.str()
    assert not release.artifacts.exists()
    release.run(RELEASE)
    result = release.run(RELEASE, "--dpone-plan")
    result.stdout.fnmatch_lines(
        ["estimate: 3 s in one process, from 2 of 2 cases in the last run here, with 1000 rows"]
    )


def test_what_is_none_of_ours_is_never_written_over(release: Project) -> None:
    release.artifacts.mkdir(parents=True)
    theirs = release.artifacts / "service_markers.json"
    theirs.write_text('{"passed": true}')
    result = release.run(RELEASE)
    assert result.ret == 4
    assert "service_markers.json is in the way: it was not written by pytest-dpone" in result.stderr.str()
    assert theirs.read_text() == '{"passed": true}'


@pytest.mark.parametrize("workers", WORKERS)
def test_a_budget_of_rows_stops_before_the_same_cases_everywhere(project: Project, workers: list[str]) -> None:
    result = project.run_with(workers, FULL, "--dpone-max-rows=2000")
    assert result.ret == 1
    assert project.verdicts() == {"full_refresh": "passed", "replace": "passed", "scd2": "budget"}
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["FAILED: 2 of 3 planned cases passed; 1 budget"])


def test_a_vendor_run_names_all_that_is_missing(release: Project) -> None:
    text = (release.path / "conftest.py").read_text()
    text = text.replace('Family("alpha", sink=False)', 'Family("alpha", ("postgres", "minio"), sink=False)')
    (release.path / "conftest.py").write_text(text)
    result = release.run("--dpone-profile=vendor_live", "--dpone-include-vendor-live")
    assert result.ret == 4
    told = "the profile vendor_live can't start: DPONE_POSTGRES_URL is not set; DPONE_MINIO_URL is not set"
    assert told in result.stderr.str()
    assert not (release.path / "test_artifacts").exists()
    result = release.run("--dpone-profile=vendor_live", "--dpone-include-vendor-live", "--dpone-services=minio=docker")
    assert (
        "the profile vendor_live takes external services only, and minio is asked for otherwise" in result.stderr.str()
    )


@pytest.mark.parametrize("workers", WORKERS)
def test_a_marker_expression_without_the_matrix_asks_for_no_case(project: Project, workers: list[str]) -> None:
    project.pytester.makepyfile(
        "import pytest\n\n@pytest.mark.integration_minio\ndef test_minio(): pass\n\n"
        "@pytest.mark.integration_kafka\ndef test_kafka(): assert 0\n"
    )
    green = project.run_with(workers, FULL, "-m", "integration_minio")
    assert green.ret == 0, green.stdout.str()
    headline = "(service tests alone: 1 passed by marker; no case was certified)"
    green.stdout.fnmatch_lines(["what the marked tests did: */service_markers.json", f"PASSED {headline}"])
    markers = read(project.artifacts / "service_markers.json")
    assert (markers["passed"], markers["profile"]) == (True, "local_live")
    assert {path.name for path in project.artifacts.iterdir()} == {
        "service_markers.json",
        "service_markers.md",
        ".lock",
    }
    red = project.run_with(workers, FULL, "-m", "integration_minio or integration_kafka")
    assert red.ret == 1
    red.stdout.fnmatch_lines(["  integration_kafka.failed: integration_kafka: 1 failed", f"FAILED {headline}"])
    assert project.run_with(workers, FULL, "-m", "not integration_kafka").ret == 0
    assert project.report()["passed"] is True
    release = project.run_with(workers, RELEASE, "-m", "integration_minio")
    assert release.ret == 1
    release.stdout.fnmatch_lines(["NO-GO: 0 of 3 planned cases passed; 3 deselected; *"])


def test_a_run_of_chosen_cases_leaves_the_full_tree_alone(release: Project) -> None:
    release.run(RELEASE)
    before = {path: path.read_bytes() for path in release.artifacts.rglob("*") if path.is_file()}
    assert release.run("--dpone-case=*__scd2").ret == 0
    after = {path: path.read_bytes() for path in release.artifacts.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.relative_to(release.artifacts).parts[0] for path in after.keys() - before.keys()} == {"cases"}
    assert release.run(RELEASE).ret == 0, "the folder of the chosen cases is no part of the full tree"


@pytest.mark.apart
def test_two_full_runs_at_once_have_a_tree_each(release: Project) -> None:
    (release.path / "test_inner.py").write_text(
        "import subprocess, sys\n\ndef test_inner():\n"
        f"    done = subprocess.run([sys.executable, '-m', 'pytest', {RELEASE!r}, '--deselect', 'test_inner.py', "
        "'-p', 'no:cacheprovider'], capture_output=True, text=True)\n"
        "    assert done.returncode == 0, done.stdout\n"
        "    assert 'another run writes to' in done.stdout\n"
    )
    result = release.run_apart(RELEASE)
    assert result.ret == 0, result.stdout.str()
    (other,) = (release.artifacts / "runs").iterdir()
    assert documents(other) == ALWAYS | FOR_RELEASE
    assert head(other / "service_markers.json") != head(release.artifacts / "service_markers.json")


def run_id_of(data: Any) -> str:
    """Of a document of ours, or of the CTRF report, whose fields are not ours to choose."""
    return str(data.get("run_id") or data["results"]["environment"]["extra"]["run_id"])


KILL = """
import os, signal
from pathlib import Path
import pytest_dpone.evidence.artifacts as artifacts

real, left = artifacts._replace, [int(os.environ.get("KILL_AT", "0"))]


def replace(path, content):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
    if left[0] == 0.5:
        os.kill(os.getpid(), signal.SIGKILL)


artifacts._replace = replace
"""


@pytest.mark.apart
@pytest.mark.parametrize("moment", [1, 3, 9, 14, 21, 28, 35, 39, 40, 43, 44])
def test_a_kill_at_any_moment_leaves_nothing_half_or_stale(
    release: Project, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    (release.path / "killer.py").write_text(KILL)
    assert release.run(RELEASE).ret == 0
    release.behave({"*__scd2": "fail", "*": "release"})
    monkeypatch.setenv("KILL_AT", str(moment))
    result = release.pytester.runpytest_subprocess("-p", "killer", *LIGHT, RELEASE, timeout=60)
    assert result.ret == -signal.SIGKILL
    run_ids = set()
    for path in release.artifacts.rglob("*.json"):
        data = read(path)  # whole
        if "evidence-chain" in path.parts:
            continue
        run_ids.add(run_id_of(data))
    assert len(run_ids) <= 1, "something of the earlier run is left"
    for name in ("release-evidence/release_evidence_pack", "certification-pack/connector_certification_pack"):
        path = release.artifacts / f"{name}.json"
        assert not path.exists() or read(path)["passed"] is False
    monkeypatch.delenv("KILL_AT")
    release.behave({"*": "release"})
    after = release.run(RELEASE)
    assert after.ret == 0, after.stdout.str()


@pytest.mark.apart
def test_all_moments_are_covered(release: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last moment above is after the last file: the list covers the whole end."""
    (release.path / "killer.py").write_text(KILL)
    (release.path / "count.py").write_text(
        "import atexit, killer\natexit.register(lambda: print('files', -killer.left[0]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(release.path))
    release.behave({"*__scd2": "fail", "*": "release"})
    result = release.pytester.runpytest_subprocess("-p", "count", *LIGHT, RELEASE, timeout=60)
    (line,) = [line for line in result.outlines if line.startswith("files ")]
    assert int(line.split()[1]) == 44, "the moments of the test above end here: change them with this number"
