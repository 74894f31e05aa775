"""The gates as functions: facts in, rulings out; documents are judged again from their facts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.gates import bundle, chain, checklist, matrix, metrics, plan, tallies
from pytest_dpone.core.gates.documents import (
    KINDS,
    PERFORMANCE,
    RUNTIME,
    Stamp,
    compose,
    content_sha256,
    json_schemas,
    judge_document,
)
from pytest_dpone.core.gates.merkle import EMPTY, leaf_hash, roots
from pytest_dpone.core.gates.policy import policy_schema
from pytest_dpone.core.gates.ruling import blockers_of, green, passes, red
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, NotRun, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.errors import UsageError
from pytest_dpone.evidence.statements import certification_schema

STAMP = Stamp(generated_at="2026-01-01T00:00:00.000Z", run_id="r")
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def test_nothing_judged_is_not_passed() -> None:
    assert not passes([])
    assert passes([green("a", "b")])
    assert not passes([green("a", "b"), red("a", "c", "d")])
    assert blockers_of([green("a", "b"), red("a", "c", "d"), red("a", "c", "e")]) == ("a.c",)


# Known roots of RFC 6962 trees over these leaves, for 0 to 8 of them.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_roots_are_those_of_rfc_6962() -> None:
    assert roots([leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]) == ROOTS
    assert roots([]) == [EMPTY]


def regression(actual: float, **baseline: object) -> bool:
    facts = metrics.BaselineFacts(metrics={"m": actual}, baseline={"m": metrics.Baseline.model_validate(baseline)})
    return passes(metrics.judge_baseline(facts))


@pytest.mark.parametrize(
    ("actual", "direction", "ratio", "good"),
    [
        (100, "higher", 0, True),
        (99.9, "higher", 0, False),
        (90, "higher", 0.1, True),
        (89, "higher", 0.1, False),
        (100, "lower", 0, True),
        (100.1, "lower", 0, False),
        (110, "lower", 0.1, True),
        (111, "lower", 0.1, False),
        (0, "lower", 0, True),
    ],
)
def test_regression(actual: float, direction: str, ratio: float, good: bool) -> None:
    assert regression(actual, value=100, direction=direction, max_regression_ratio=ratio) is good


def test_a_failure_rate_needs_a_ceiling() -> None:
    facts = metrics.PerformanceFacts(
        profile="p", row_count=1, metrics={"failure_rate": 0.2, "a": 1}, minimum={"a": 1, "failure_rate": 0}
    )
    assert blockers_of(metrics.judge_performance(facts)) == ("failure_rate.above_maximum",)
    allowed = facts.model_copy(update={"maximum": {"failure_rate": 0.2}})
    assert passes(metrics.judge_performance(allowed))
    assert not passes(metrics.judge_performance(facts.model_copy(update={"minimum": {}})))


@pytest.mark.parametrize(
    ("release", "least"),
    [("v0.7.1", "patch"), ("0.7.0", "minor"), ("v1.0.0", "major"), ("v1.1.0", "minor"), ("2.0.0-rc.1+5", "major"),
     ("v0.10.0", "minor"), ("v10.0.1", "patch")],
)  # fmt: skip
def test_a_version_says_its_type(release: str, least: str) -> None:
    assert checklist.release_type_of(release) == least
    for number, kind in enumerate(checklist.TYPES):
        if number < checklist.TYPES.index(least):  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="weaker"):
                checklist.known_type(release, kind)
        else:
            assert checklist.known_type(release, kind) == kind


def test_a_stricter_type_needs_all_that_the_weaker_one_needs() -> None:
    patch, minor, major = (set(checklist.REQUIRED[kind]) for kind in checklist.TYPES)
    assert patch < minor < major


@given(st.dictionaries(st.sampled_from(checklist.REQUIRED["major"]), st.booleans(), min_size=1))
def test_a_green_checklist_has_every_required_check(given_checks: dict[str, bool]) -> None:
    items = tuple(checklist.ChecklistItem(name=n, done=done, by="run") for n, done in given_checks.items())
    facts = checklist.ChecklistFacts(release="v0.1.1", release_type="patch", items=items)
    needed = all(given_checks.get(name) for name in checklist.REQUIRED["patch"])
    assert passes(checklist.judge_checklist(facts)) is (needed and all(given_checks.values()))


def test_a_checklist_s_facts_may_not_be_weaker_or_double() -> None:
    items = tuple(checklist.ChecklistItem(name=n, done=True, by="run") for n in checklist.REQUIRED["patch"])
    weak = checklist.ChecklistFacts(release="v1.0.0", release_type="patch", items=items)
    assert blockers_of(checklist.judge_checklist(weak)) == ("release_type.too_weak",)
    twice = checklist.ChecklistFacts(release="v1.0.1", release_type="patch", items=(*items, items[0]))
    assert blockers_of(checklist.judge_checklist(twice)) == ("source_sink_matrix.given_twice",)


@pytest.mark.parametrize("profile", ["local_live", "real_local", "vendor_live"])
def test_markers(profile: str) -> None:
    def judged(**markers: tallies.MarkerCounts) -> tuple[str, ...]:
        return blockers_of(tallies.judge_markers(tallies.MarkerFacts(profile=profile, markers=markers)))

    good, nothing = tallies.MarkerCounts(passed=2), tallies.MarkerCounts()
    assert judged(pg=good) == ()
    assert judged(pg=good, kafka=nothing) == ("kafka.no_tests",)
    assert judged(pg=nothing) == ("pg.no_tests", "markers.nothing_passed")
    assert judged(pg=good, ch=tallies.MarkerCounts(passed=1, failed=1)) == ("ch.failed",)
    assert judged(pg=good, ch=tallies.MarkerCounts(passed=1, skipped=1)) == ("ch.not_run",)
    absent = judged(pg=good, kafka=tallies.MarkerCounts(unavailable=3))
    assert absent == (() if profile == "local_live" else ("kafka.not_run",))


def test_checked_rows() -> None:
    row = tallies.CheckedRow(subject="c", checks=3)
    assert passes(tallies.judge_checked(tallies.CheckedFacts(rows=(row,))))
    for rows, code in (
        ((), "evidence.nothing_checked"),
        ((row, replace(row, checks=0)), "c.nothing_checked"),
        ((replace(row, failed=1),), "c.failed"),
    ):
        assert blockers_of(tallies.judge_checked(tallies.CheckedFacts(rows=rows))) == (code,)


def record(sink: str, verdict: Verdict = Verdict.PASSED, **facts: object) -> CaseRecord:
    case = Case("postgres", sink, Strategy.FULL_REFRESH)
    if verdict is Verdict.NOT_RUN:
        return CaseRecord.of(case, verdict, **facts)
    acts = [
        ActRecord(
            name=name, passed=True, rows=100, engine_seconds=seconds, checks=(Check(name="c", passed=True),),
            diff=DiffReport(expected_rows=100, actual_rows=100), observed={"bytes": 7},
        )
        for name, seconds in ((ActName.LOAD, 0.5), (ActName.CHANGE, 2.0))
    ]  # fmt: skip
    return CaseRecord.of(case, verdict, acts=tuple(acts), rows=100, seconds=3.0, **facts)


def test_metrics_of_a_run() -> None:
    records = [
        record("postgres"),
        record("clickhouse", Verdict.FAILED),
        record("minio", Verdict.NOT_RUN, reason=NotRun.CRASHED),
        record("kafka", Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE),
    ]
    facts = tallies.runtime_of([tallies.tally(each).metrics for each in records])
    assert facts.totals == {
        "duration_seconds": 6.0,
        "failure_rate": 0.666667,
        "throughput_rows_per_second": 200.0,
        "rows": 200,
        "bytes": 14,
        "freshness_lag_seconds": 2.0,
    }
    assert "throughput_rows_per_second" not in facts.cases[1].metrics, "wrong rows give no number"
    assert facts.cases[2].metrics == {"failure_rate": 1}
    assert facts.cases[3].metrics == {}
    assert passes(tallies.judge_runtime(facts))
    unmeasured = replace(facts.cases[0], metrics={})
    assert blockers_of(tallies.judge_runtime(facts.model_copy(update={"cases": (unmeasured,)}))) == (
        "postgres_to_postgres__full_refresh.not_measured",
    )
    assert not passes(tallies.judge_runtime(facts.model_copy(update={"cases": facts.cases[1:]})))


def exhibit(name: str, digest: str, **facts: object) -> bundle.Exhibit:
    return bundle.Exhibit.model_validate(
        {"name": name, "path": f"{name}.json", "sha256": digest * 64, "evidence": "external", **facts}
    )


def test_a_bundle_needs_what_its_profile_needs() -> None:
    facts = bundle.BundleFacts(bundle="release_evidence_pack", profile="real_local", release="v1", required=("soak",))
    missing = blockers_of(bundle.judge_bundle(facts))
    assert missing == (*(f"{name}.missing" for name in bundle.REQUIRED_FOR_RELEASE), "soak.missing")
    for profile in ("local_live", "real_local", "vendor_live"):
        names = bundle.required_names("certification_pack", profile)
        assert {"service_markers", "certification_report"} <= set(names)
        assert len(names) == (2 if profile == "local_live" else 4)


def test_a_bundle_of_good_exhibits() -> None:
    facts = bundle.BundleFacts(
        bundle="live_state_reconciliation",
        profile="real_local",
        exhibits=(exhibit("state", "a"), exhibit("reconciliation", "b")),
    )
    assert passes(bundle.judge_bundle(facts))
    for change, code in (
        ({"sha256": "b" * 64}, "reconciliation.same_file"),
        ({"name": "reconciliation"}, "reconciliation.given_twice"),
        ({"profile": "local_live"}, "state.another_profile"),
        ({"run_mode": "mock_local"}, "state.simulated"),
        ({"evidence": "own", "kind": "service_markers"}, "state.another_kind"),
        ({"evidence": "none"}, "state.unreadable"),
        ({"sha256": None}, "state.unreadable"),
        ({"problems": ({"code": "x", "text": "y"},)}, "state.x"),
    ):
        first = bundle.Exhibit.model_validate({**facts.exhibits[0].model_dump(), **change})
        changed = facts.model_copy(update={"exhibits": (first, facts.exhibits[1])})
        assert code in blockers_of(bundle.judge_bundle(changed)), change


def test_a_release_pack_of_no_release_or_of_local_live() -> None:
    facts = bundle.BundleFacts(bundle="release_evidence_pack", profile="local_live")
    assert {"profile.no_release_pack"} <= set(blockers_of(bundle.judge_bundle(facts)))
    real = facts.model_copy(update={"profile": "real_local"})
    assert "release.missing" in blockers_of(bundle.judge_bundle(real))


def test_a_matrix_is_judged_from_its_cases() -> None:
    good = matrix.MatrixCase(case_id="a", verdict=Verdict.PASSED)
    unavailable = matrix.MatrixCase(case_id="b", verdict=Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE)
    skipped = matrix.MatrixCase(case_id="c", verdict=Verdict.NOT_RUN, reason=NotRun.SKIPPED)

    def judged(profile: str, *cases: matrix.MatrixCase) -> tuple[str, ...]:
        facts = matrix.MatrixFacts(
            profile=profile, run_mode="real_local", matrix_size=2, cases=cases, fidelities={"postgres": "real"}
        )
        return blockers_of(matrix.judge_matrix(facts))

    assert judged("local_live", good, unavailable) == ()
    assert judged("local_live", good, skipped) == ("c.not_run",)
    assert judged("local_live", unavailable) == ("scope.nothing_passed",)
    assert judged("real_local", good, unavailable) == ("b.not_run",)
    assert judged("real_local", good) == ("scope.reduced",)


def test_a_plan_has_what_a_profile_needs() -> None:
    registry = default_registry()
    planned = build_matrix(registry)
    facts = plan.plan_facts(registry, planned, profile="real_local", row_count=5)
    assert len(facts.cases) == len(planned.planned)
    assert {service.name for service in facts.services} == set(registry.services)
    assert facts.environment == {}
    assert facts.artifacts[-1] == "test_artifacts/live_certification/release-evidence/release_evidence_pack.json"
    assert facts.estimated_seconds is None
    known = plan.plan_facts(registry, planned, profile="local_live", row_count=5, seconds={facts.cases[0]: 2.5, "x": 9})
    assert (known.estimated_seconds, known.estimated_cases) == (2.5, 1)
    assert not any("release" in name for name in known.artifacts)
    vendor = plan.plan_facts(registry, planned, profile="vendor_live", row_count=5, include_vendor_live=True)
    assert "DPONE_CLICKHOUSE_URL" in vendor.environment
    assert all("live_certification_vendor/" in name for name in vendor.artifacts)
    empty = plan.plan_facts(registry, planned, profile="local_live", row_count=5, scope=())
    assert blockers_of(plan.judge_plan(empty)) == ("scope.empty",)


def test_entries_out_of_place_are_seen() -> None:
    leaf = leaf_hash(b"x")
    entry = chain.ChainedEntry(index=1, release="v1", leaf=leaf.hex(), artifact_index="a" * 64)
    facts = chain.ChainFacts(release="v2", root="0" * 64, entries=(entry, entry))
    assert set(blockers_of(chain.judge_chain(facts))) == {
        "entry_0.out_of_place",
        "entry_1.repeated",
        "chain.root",
        "chain.another_release",
    }
    assert blockers_of(chain.judge_chain(chain.ChainFacts(release="v", root=EMPTY, entries=()))) == ("chain.empty",)


def performance() -> dict[str, object]:
    facts = metrics.PerformanceFacts(profile="real_local", row_count=1, metrics={"a": 2}, minimum={"a": 1})
    return compose(PERFORMANCE, facts, STAMP.model_copy(update={"profile": "real_local"}))


def test_a_document_is_judged_again() -> None:
    document = performance()
    assert document["content_sha256"] == content_sha256(document)
    judged = judge_document(document, json.dumps(document).encode(), expected="performance_certification")
    assert (judged.evidence, judged.kind, judged.problems) == ("own", "performance_certification", ())
    # Whoever changes the facts, and makes the digest fit, still can't say something else than follows from them.
    document["facts"] = {**document["facts"], "minimum": {"a": 3}}  # type: ignore[dict-item]
    document["content_sha256"] = content_sha256(document)
    judged = judge_document(document, json.dumps(document).encode(), expected="performance_certification")
    assert [problem.code for problem in judged.problems] == ["contradicts_itself", "red"]


@pytest.mark.parametrize(
    ("kind", "facts", "code"),
    [
        ("performance_certification", {"metrics": {"a": 1}}, None),
        ("performance_certification", {}, "facts_missing"),
        ("performance_certification", {"metrics": {}}, "facts_missing"),
        ("performance_certification", {"metrics": {"a": -1}}, "facts_wrong"),
        ("performance_certification", {"metrics": {"a": "1"}}, "facts_wrong"),
        ("performance_certification", {"metrics": {"a": True}}, "facts_wrong"),
        ("pre_release_checklist", {"checks": {"a": True, "b": {"passed": True}}}, None),
        ("pre_release_checklist", {"checks": {"a": True, "b": False}}, "facts_missing"),
        ("pre_release_checklist", {"checks": {}}, "facts_missing"),
        ("certification_pack", {"artifacts": ["a"]}, None),
        ("certification_pack", {"artifacts": []}, "facts_missing"),
        ("evidence_chain", {"entries": 3}, "facts_missing"),
        ("state", {"markers": {"a": {"passed": 1}}}, None),
        ("state", {"markers": {"a": 1}}, "facts_missing"),
        ("state", {"markers": {}}, "facts_missing"),
        ("state", {"tests": 3, "skipped": 1}, None),
        ("state", {"tests": 3, "skipped": True}, None),
        ("anything else", {}, None),
        ("anything else", {"ok": False}, "contradicts_itself"),
        ("anything else", {"results": [{"verdict": "NO-GO"}]}, "contradicts_itself"),
        ("anything else", {"profile": 1}, "facts_wrong"),
    ],
)
def test_external_evidence(kind: str, facts: dict[str, object], code: str | None) -> None:
    data = {"passed": True, **facts}
    judged = judge_document(data, b"", expected=kind)
    assert judged.evidence == "external"
    assert [problem.code for problem in judged.problems] == ([code] if code else [])
    assert judge_document({**data, "passed": False}, b"", expected=kind).problems


def report(**changes: object) -> list[str]:
    """Problems of a certification report that is good but for `changes`."""
    data = {
        "schema": matrix.SCHEMA_REPORT, "passed": True, "blockers": [], "run_id": "r", "profile": "local_live",
        "run_mode": "real_local", "generated_at": "2026-01-01T00:00:00.000Z", "matrix_size": 1,
        "counts": {"passed": 1, "failed": 0, "not_run": 0}, "cases": [{"case_id": "a", "verdict": "passed"}], **changes,
    }  # fmt: skip
    data = {"content_sha256": content_sha256(data), **data}
    judged = judge_document(data, json.dumps(data).encode(), expected="certification_report")
    assert (judged.evidence, judged.kind) == ("own", "certification_report")
    return [problem.text for problem in judged.problems]


def test_a_report_as_evidence() -> None:
    assert report() == []
    assert report(content_sha256="0" * 64) == ["was edited: its content is not what its digest says"]
    told = "is red: certification_report.contradicts_itself"
    assert report(passed=False) == [told]
    assert report(matrix_size=0) == ["is malformed: matrix_size: Input should be greater than or equal to 1"]
    assert report(counts={}) == [told]
    twice = [{"case_id": "a", "verdict": "passed"}, {"case_id": "b", "verdict": "passed"}]
    assert report(cases=twice, counts={"passed": 2, "failed": 0, "not_run": 0}) == [told]
    reasoned = [{"case_id": "a", "verdict": "passed", "reason": "skipped"}]
    assert report(cases=reasoned) == [told]
    assert report(profile="real_local") == ["is red: services.unknown"]


def test_a_pack_may_not_hold_itself_and_an_index_no_path_twice() -> None:
    own = exhibit("old", "a", evidence="own", kind="certification_pack", profile="local_live")
    facts = bundle.BundleFacts(bundle="certification_pack", profile="local_live", exhibits=(own,))
    assert "old.another_kind" in blockers_of(bundle.judge_bundle(facts))
    file = chain.IndexedFile(path="a", sha256="a" * 64, size=1, kind="txt")
    assert blockers_of(chain.judge_index(chain.IndexFacts(release="v", root=".", files=(file, file)))) == (
        "files.twice",
    )


def test_an_objective_without_a_bound_is_red_in_facts_too() -> None:
    facts = metrics.BenchmarkSloFacts(
        metrics={"a": 1},
        baseline={"a": metrics.Baseline(value=1, direction="lower")},
        objectives={"a": metrics.Objective()},
    )
    assert blockers_of(metrics.judge_benchmark_slo(facts)) == ("a.no_bound",)


def test_a_judge_takes_its_own_facts_only() -> None:
    with pytest.raises(TypeError, match="runtime_metrics is judged by RuntimeFacts"):
        compose(RUNTIME, chain.IndexFacts(release="v", root=".", files=()), STAMP)


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.name for kind in KINDS}) == len({kind.file for kind in KINDS}) == len(KINDS)
    assert {kind.name for kind in KINDS} <= set(bundle.KIND_OF_NAME.values())


@pytest.mark.skipif(pydantic.VERSION.startswith("2.11."), reason="pydantic 2.11 tells the same schemas otherwise")
def test_the_committed_schemas_are_those_of_the_models() -> None:
    others = {
        "connector_certification.schema.json": certification_schema(),
        "verification_policy.schema.json": policy_schema(),
    }
    expected = {name: json.loads(json.dumps(schema)) for name, schema in (json_schemas() | others).items()}
    found = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.schema.json")}
    assert found == expected, "run: python docs/schemas/generate.py"


def test_fidelity_is_accepted_in_a_patch_release_only() -> None:
    case = matrix.MatrixCase(case_id="a", verdict=Verdict.PASSED)

    def judged(release_type: str | None, *accepted: str) -> tuple[str, ...]:
        facts = matrix.MatrixFacts(
            profile="real_local", run_mode="real_local", matrix_size=1, cases=(case,),
            fidelities={"minio": "emulated", "postgres": "real"},
            accepted_fidelity=accepted, release_type=release_type,
        )  # fmt: skip
        return blockers_of(matrix.judge_matrix(facts))

    assert judged("patch", "emulated") == ()
    assert judged("patch", "engine") == ("minio.fidelity_emulated",)
    assert judged("patch") == ("minio.fidelity_emulated",)
    assert judged("minor", "emulated") == ("accept_fidelity.not_a_patch",)
    assert judged(None, "emulated") == ("accept_fidelity.not_a_patch",)


def test_a_missing_baseline_is_not_run_or_red() -> None:
    def judged(profile: str | None) -> tuple[str, ...]:
        objectives = {"failure_rate": metrics.Objective(max=0)}
        facts = metrics.BenchmarkSloFacts(metrics={"failure_rate": 0}, objectives=objectives, profile=profile)
        return blockers_of(metrics.judge_benchmark_slo(facts))

    assert judged("local_live") == ()
    assert judged("real_local") == judged(None) == ("baseline.missing",)


def test_markers_that_the_scope_needs() -> None:
    one = {"integration_postgres": tallies.MarkerCounts(passed=1)}
    facts = tallies.MarkerFacts(
        profile="real_local", markers=one, required=("integration_postgres", "integration_kafka")
    )
    assert blockers_of(tallies.judge_markers(facts)) == ("integration_kafka.missing",)
    assert blockers_of(tallies.judge_markers(tallies.MarkerFacts(profile=None, markers={}))) == (
        "markers.nothing_passed",
    )
    excused = {"integration_minio": tallies.MarkerCounts(passed=1, unavailable=2, not_implemented=3)}
    for profile, blockers in (("local_live", ()), (None, ()), ("real_local", ("integration_minio.not_run",))):
        facts = tallies.MarkerFacts(profile=profile, markers=excused)
        assert blockers_of(tallies.judge_markers(facts)) == blockers


def test_what_nothing_can_be_said_of_has_no_rate() -> None:
    case = tallies.tally(record("kafka", Verdict.NOT_RUN, reason=NotRun.UNAVAILABLE)).metrics
    assert tallies.runtime_of([case]).totals == {"duration_seconds": 0}


def test_every_kind_has_a_place_of_its_own() -> None:
    from pytest_dpone.core.gates.documents import KINDS
    from pytest_dpone.core.gates.plan import plan_facts
    from pytest_dpone.core.matrix import build_matrix
    from pytest_dpone.core.registry import default_registry

    places = [kind.path for kind in KINDS]
    assert len(set(places)) == len(places)
    registry = default_registry()
    planned = plan_facts(registry, build_matrix(registry), profile="real_local", row_count=1).artifacts
    named = {name.removeprefix("test_artifacts/live_certification/") for name in planned}
    apart = {
        "benchmark-slo/benchmark/benchmark_baseline.json",
        "matrix/integration_matrix_report.json",
        "shard.json",
        "shards.json",
    }
    assert named == set(places) - apart | {"matrix/certification_report.json", "junit.xml"}
