"""Records in, artifacts out, a decision in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_dpone.core.gates.ruling import GateResult
from pytest_dpone.core.model import ActName, ActRecord, Case, CaseRecord, Check, DiffReport, NotRun, Strategy, Verdict
from pytest_dpone.core.registry import Family, Registry
from pytest_dpone.errors import ArtifactError, UsageError
from pytest_dpone.run import publication
from pytest_dpone.run.certification import Certification
from pytest_dpone.run.plan import Plan, make_plan
from pytest_dpone.run.publication import Identity, Publication

ACTS = (
    ActRecord(
        name=ActName.LOAD,
        passed=True,
        checks=(Check(name="rows", passed=True),),
        diff=DiffReport(expected_rows=1, actual_rows=1),
    ),
)


@pytest.fixture
def plan() -> Plan:
    registry = Registry()
    registry.add(Family("alpha", ("postgres", "kafka"), sink=False))
    registry.add(Family("beta", ("minio", "postgres"), source=False))
    registry.exclude(lambda case: None if case.strategy in ("scd2", "cdc") else "not now")
    return make_plan(registry)


@pytest.fixture
def certification(plan: Plan, tmp_path: Path) -> Certification:
    return Certification(
        plan, Publication(tmp_path, Identity(run_id="r1", profile="local_live", run_mode="real_local"))
    )


def passed(case: Case) -> CaseRecord:
    return CaseRecord.of(case, Verdict.PASSED, acts=ACTS)


def test_the_plan_knows_its_services_and_its_scope(plan: Plan) -> None:
    assert plan.services == ("postgres", "kafka", "minio")
    assert plan.registry.needs(plan.scope[0]) == ("postgres", "kafka", "minio")
    assert [case.strategy for case in plan.scope] == [Strategy.SCD2, Strategy.CDC]
    assert not plan.narrowed
    assert make_plan(plan.registry, strategies=["cdc"]).narrowed
    with pytest.raises(UsageError):
        make_plan(plan.registry, strategies=["xmin"])


def test_artifacts_are_written_as_records_come(certification: Certification, plan: Plan, tmp_path: Path) -> None:
    certification.take(passed(plan.scope[0]).model_dump_json())
    data = json.loads((tmp_path / "alpha_to_beta__scd2__behavior.json").read_text())
    head = ["schema", "passed", "blockers", "generated_at", "run_id", "profile", "run_mode", "release", "source"]
    assert list(data)[: len(head)] == head
    assert data["source"] == {"commit": None, "tree": None, "dirty": None}
    assert (data["case_id"], data["passed"]) == ("alpha_to_beta__scd2", True)
    assert CaseRecord.model_validate(data["record"]) == passed(plan.scope[0])
    assert "# alpha" in (tmp_path / "alpha_to_beta__scd2__behavior.md").read_text()
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="nobody asked")
    assert outcome is not None
    assert [r.reason for r in outcome.records] == [None, NotRun.DESELECTED]
    assert not outcome.decision.passed
    report = json.loads((tmp_path / "certification_report.json").read_text())
    assert report["headline"] == outcome.decision.headline
    assert report["blockers"] == ["alpha_to_beta__cdc.not_run"]
    assert [row["verdict"] for row in report["cases"]] == ["passed", "not_run"]
    documents = {path.name for path in tmp_path.glob("*__behavior.*")}
    assert documents == {"alpha_to_beta__scd2__behavior.json", "alpha_to_beta__scd2__behavior.md"}
    assert [row["behavior"] for row in report["cases"]] == ["alpha_to_beta__scd2__behavior.json", None]


@pytest.mark.parametrize("reason", list(NotRun))
def test_a_case_in_which_nothing_happened_has_no_document(plan: Plan, tmp_path: Path, reason: NotRun) -> None:
    where = Publication(tmp_path, Identity(run_id="r1", profile="local_live", run_mode="real_local"))
    path = where.case(CaseRecord.of(plan.scope[0], Verdict.NOT_RUN, reason=reason))
    assert (path is not None) is (reason in (NotRun.CRASHED, NotRun.SERVICE_DIED))


def test_the_document_is_that_of_the_standing_record(certification: Certification, plan: Plan, tmp_path: Path) -> None:
    red = CaseRecord.of(plan.scope[0], Verdict.FAILED, detail="red")
    for record in (red, passed(plan.scope[0])):
        certification.take(record.model_dump_json())
    assert json.loads((tmp_path / "alpha_to_beta__scd2__behavior.json").read_text())["record"]["verdict"] == "failed"


@pytest.mark.parametrize("text", ["", "{}", '{"case_id": "x"}', "null"])
def test_what_is_no_record_is_refused(certification: Certification, text: str) -> None:
    with pytest.raises(ValueError):
        certification.take(text)


def test_a_crash_of_something_else_is_no_case(certification: Certification) -> None:
    assert certification.crashed("test_mine", detail="killed") is None
    record = certification.crashed("alpha_to_beta__cdc", detail="killed")
    assert record is not None
    assert record.reason is NotRun.CRASHED


def test_only_what_was_asked_for_counts(plan: Plan, tmp_path: Path) -> None:
    where = Publication(tmp_path, Identity(run_id="r1", profile="local_live", run_mode="real_local"))
    assert Certification(plan, where, "asked").finish(missing=NotRun.DESELECTED, detail="") is None
    assert list(tmp_path.iterdir()) == []
    certification = Certification(plan, where, "asked")
    certification.take(passed(plan.scope[1]).model_dump_json())
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="")
    assert outcome is not None
    assert [record.case_id for record in outcome.records] == ["alpha_to_beta__cdc"]


def test_what_can_not_be_written_is_red_and_tried_once(
    certification: Certification, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full(path: Path, *_: object, **__: object) -> None:
        tries.append(path)
        raise ArtifactError(f"{path.name} can't be written: disk full", hint="free some space")

    monkeypatch.setattr(publication, "write_json", full)
    for case in plan.scope:
        certification.take(passed(case).model_dump_json())
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="")
    assert outcome is not None
    assert not outcome.decision.passed
    assert outcome.decision.blockers == ("artifacts.not_written",)
    assert outcome.problems == (
        "alpha_to_beta__scd2__behavior.json can't be written: disk full\nhint: free some space",
    )
    assert len(tries) == 1


def test_a_report_that_can_not_be_written_turns_a_green_run_red(
    certification: Certification, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in plan.scope:
        certification.take(passed(case).model_dump_json())

    def full(path: Path, *_: object, **__: object) -> None:
        raise ArtifactError("disk full", hint="free some space")

    monkeypatch.setattr(publication, "write_json", full)
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="")
    assert outcome is not None
    assert outcome.decision.word == "FAILED"


@pytest.mark.parametrize("case_id", ["../../etc/passwd", "a/b", "a b", "ü", "..", "con:x"])
def test_a_case_id_never_becomes_a_path(tmp_path: Path, case_id: str) -> None:
    where = Publication(tmp_path, Identity(run_id="r1", profile="local_live", run_mode="real_local"))
    record = passed(Case("alpha", "beta", Strategy.CDC)).model_copy(update={"case_id": case_id})
    path = where.case(record)
    assert path is not None
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()
    assert path.name.isascii()
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".md"}


PACK = GateResult("release_evidence_pack", "passed")


@pytest.mark.parametrize(
    ("gates", "blockers"),
    [
        ((PACK,), ()),
        ((), ("release_evidence_pack.missing",)),
        ((GateResult("release_evidence_pack", "not run"),), ("release_evidence_pack.missing",)),
        ((GateResult("state", "failed"), PACK), ("state.failed",)),
        ((GateResult("state", "failed", (("a.b", "text"),)), PACK), ("a.b",)),
    ],
)
def test_go_needs_a_green_pack_and_no_failed_gate(
    plan: Plan, tmp_path: Path, gates: tuple[GateResult, ...], blockers: tuple[str, ...]
) -> None:
    where = Publication(tmp_path, Identity(run_id="r1", profile="real_local", run_mode="real_local"))
    certification = Certification(plan, where)
    for case in plan.scope:
        certification.take(passed(case).model_dump_json())
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="", conclude=lambda _: gates)
    assert outcome is not None
    assert (outcome.decision.word, outcome.decision.blockers) == ("NO-GO" if blockers else "GO", blockers)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone", "x"), UsageError("no", hint="h")])
def test_whatever_ends_the_gates_early_is_red(plan: Plan, tmp_path: Path, error: Exception) -> None:
    def fails(_: object) -> tuple[GateResult, ...]:
        raise error

    certification = Certification(
        plan, Publication(tmp_path, Identity(run_id="r1", profile="local_live", run_mode="real_local"))
    )
    for case in plan.scope:
        certification.take(passed(case).model_dump_json())
    outcome = certification.finish(missing=NotRun.DESELECTED, detail="", conclude=fails)
    assert outcome is not None
    assert outcome.decision.blockers == ("artifacts.not_written",)
