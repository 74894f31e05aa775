"""The verdict of a tree derived again from its records, by the gates that judged it first; no flag is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from ..core.gates import documents
from ..core.gates.bundle import BundleFacts
from ..core.gates.checklist import ChecklistFacts, ChecklistItem
from ..core.gates.documents import Kind, Stamp, compose
from ..core.gates.kills import summed
from ..core.gates.matrix import judge_matrix
from ..core.gates.metrics import BaselineFacts, BenchmarkSloFacts, PerformanceFacts
from ..core.gates.policy import VerificationPolicy
from ..core.gates.ruling import RELEASE_PROFILES, Ruling, Value, red
from ..core.gates.scope import MISSING, ScopeFacts
from ..core.gates.source import SourceFacts
from ..core.gates.tallies import runtime_of
from ..core.model import CaseRecord
from ..evidence.chain import verify as verify_chain
from ..report.gates import document_markdown
from .asked import asked
from .conclusion import PACK_FILES, known_checks, reconciliation_facts, state_facts
from .evidence import MATRIX_FOLDER, Evidence, Found, chain_folder
from .packs import pack_facts
from .publication import behavior_name, case_row, services_of
from .twins import twins
from .verdict import decide

ALWAYS = (
    documents.MARKERS,
    documents.RUNTIME,
    documents.BENCHMARK_SLO,
    documents.SOURCE,
    documents.CERTIFICATION_PACK,
    documents.INDEX,
    documents.CHAIN,
)
"""What every run writes, also a red one; the chain last."""
FOR_RELEASE = (
    documents.SCOPE,
    documents.PERFORMANCE,
    documents.STATE,
    documents.RECONCILIATION,
    documents.LIVE_STATE,
    documents.CHECKLIST,
    documents.RELEASE_PACK,
)
"""What a release profile has beside it."""

_HEAD = ("run_id", "profile", "run_mode", "release", "source")


def judge_again(evidence: Evidence, policy: VerificationPolicy) -> tuple[Ruling, ...]:
    """What stands against the tree: red rulings only, the subject of each is a file. None: the verdict is green."""
    found = [ruling for check in CHECKS for ruling in check(evidence, policy)]
    return tuple(dict.fromkeys(ruling for ruling in found if not ruling.passed))


def unfinished(evidence: Evidence) -> list[str]:
    """What the run that left this tree did not come to write; empty if it came to its end."""
    missing = [kind.path for kind in _written(evidence, whole=False) if kind.name not in evidence.documents]
    chain = evidence.documents.get(documents.CHAIN.name)
    index = evidence.documents.get(documents.INDEX.name)
    if chain is not None and index is not None and index.data.get("passed") is True:
        report = verify_chain(chain_folder(evidence.root), files=False)
        head = report.head
        if head is not None and head.release == index.judged.release and head.generated_at < _time(index):
            missing.append(f"{documents.CHAIN.path} does not reach to this run")
    return missing


def _time(found: Found) -> str:
    return found.judged.generated_at or ""


def _written(evidence: Evidence, *, whole: bool) -> tuple[Kind, ...]:
    """What must be there; a red run of a release may lack the checklist and the pack, which `whole` asks for too."""
    if evidence.report.profile not in RELEASE_PROFILES:
        return ALWAYS
    return (*ALWAYS, *(FOR_RELEASE if whole else FOR_RELEASE[:5]))


def _matrix(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """The gate over the matrix, from the report and the document of each case."""
    behaviors = {row.case_id: row.behavior for row in evidence.report.cases}
    for ruling in judge_matrix(evidence.files.facts()):
        if not ruling.passed:
            name = behaviors.get(ruling.subject) or (
                ruling.subject if ruling.code == "not_reported" else evidence.report_path.partition("/")[2]
            )
            yield red(f"{MATRIX_FOLDER}/{name}", ruling.code, ruling.text)


def _report(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """The report says what the records say: each case, the services, the mishaps, and how the run ended."""
    path, data = evidence.report_path, evidence.report_data
    rows = data.get("cases")
    told = {str(row.get("case_id")): row for row in rows if isinstance(row, dict)} if isinstance(rows, list) else {}
    for record, tally in zip(evidence.records, evidence.tallies, strict=True):
        played = isinstance(evidence.files.documents.get(record.case_id), CaseRecord)
        if played and told.get(record.case_id) != case_row(record, tally):
            yield red(path, "another_row", f"{path} says of {record.case_id} what its document does not")
    if data.get("services") != services_of(evidence.records):
        yield red(path, "other_services", f"{path} names other services than the documents of its cases")
    if data.get("mishaps") != summed(each.kills for each in evidence.tallies).told():
        yield red(path, "other_mishaps", f"{path} counts other mishaps than the documents of its cases")
    report = evidence.report
    decision = decide(
        evidence.records,
        profile=report.profile,
        matrix_size=report.matrix_size,
        run_mode=report.run_mode,
        accepted_fidelity=report.accepted_fidelity,
    )
    for blocker in decision.blockers:
        if blocker not in report.blockers:
            yield red(path, "blocker_left_out", f"{path} leaves out the blocker {blocker}")


def _heads(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """Every document of the run is of the run that the report tells of."""
    wanted = {name: evidence.report_data.get(name) for name in _HEAD}
    for record in evidence.records:
        path = f"{MATRIX_FOLDER}/{behavior_name(record.case_id)}"
        if isinstance(evidence.files.documents.get(record.case_id), CaseRecord):
            yield from _same_run(path, evidence.data(path), wanted)
    for found in evidence.documents.values():
        if found.measured == "run":
            unreleased = found.kind in (documents.INDEX, documents.CHAIN) and wanted["release"] is None
            release = found.data.get("release") if unreleased else wanted["release"]
            yield from _same_run(found.kind.path, found.data, {**wanted, "release": release})


def _same_run(path: str, data: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[Ruling]:
    for name, value in wanted.items():
        if data.get(name) != value:
            yield red(path, f"another_{name}", f"{path} is of another {name} than the certification report")


def _judged(evidence: Evidence, policy: VerificationPolicy) -> Iterator[Ruling]:
    """Each gate judged again from its facts; and whose word its facts are."""
    for found in evidence.documents.values():
        path = found.kind.path
        for problem in found.judged.problems:
            yield red(path, problem.code, f"{path} {problem.text}")
        given = found.measured != "run" and found.kind.name not in policy.measured_elsewhere
        if given and found.kind not in (documents.MATRIX, documents.PLAN):
            text = "was measured elsewhere" if found.measured == "external" else "was given to a command by hand"
            yield red(path, "measured_elsewhere", f"{path} {text}, and the policy does not accept that")


def _present(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """Nothing that the profile needs is absent."""
    for kind in _written(evidence, whole=True):
        if kind.name not in evidence.documents:
            yield red(kind.path, "missing", f"{kind.path} is missing, and {evidence.report.profile} needs it")


def _derived(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """What the run measured follows from its records: each document is made again, and compared as a whole."""
    for found in evidence.documents.values():
        path = found.kind.path
        if found.measured != "run" or found.judged.evidence != "own":
            continue
        try:
            facts = _facts(evidence, found)
            same = facts is None or compose(found.kind, facts, _stamp(found.data)) == found.data
        except ValidationError:
            # The document is not of its form, or there is no case that it could follow from.
            same = False
        if not same:
            yield red(path, "not_from_records", f"{path} does not say what follows from the records")


def _facts(evidence: Evidence, found: Found) -> Value | None:
    """The facts that a document must hold; None if they don't follow from the records, or can't be read."""
    kind, facts = found.kind, found.judged.facts
    totals = dict(runtime_of([each.metrics for each in evidence.tallies]).totals)
    if kind is documents.RUNTIME:
        return runtime_of([each.metrics for each in evidence.tallies])
    if kind is documents.STATE:
        return state_facts(evidence.tallies)
    if kind is documents.RECONCILIATION:
        return reconciliation_facts(evidence.tallies)
    if isinstance(facts, BaselineFacts):
        return facts.model_copy(update={"metrics": totals})
    if isinstance(facts, BenchmarkSloFacts | PerformanceFacts):
        return facts.model_copy(update={"metrics": totals, "profile": evidence.report.profile})
    if isinstance(facts, ChecklistFacts):
        known = known_checks(evidence.tallies, green=_green(evidence))
        items = tuple(
            ChecklistItem(name=item.name, done=known.get(item.name, False), by="run") if item.by == "run" else item
            for item in facts.items
        )
        return facts.model_copy(update={"items": items})
    if isinstance(facts, ScopeFacts):
        became = {record.case_id: str(record.reason or record.verdict) for record in evidence.records}
        beside = set(became).difference(facts.cases) if facts.basis == "lock" else ()
        cases = {name: became.get(name, MISSING) for name in facts.cases}
        return facts.model_copy(update={"cases": cases, "beside": tuple(sorted(beside))})
    return _pack(evidence, found, facts) if isinstance(facts, BundleFacts) else None


def _green(evidence: Evidence) -> bool:
    report = evidence.report
    return decide(
        evidence.records,
        profile=report.profile,
        matrix_size=report.matrix_size,
        run_mode=report.run_mode,
        # A run that only simulates says so in its report, and yet its cases may be green.
        blockers=[code for code in report.blockers if code != "run_mode.simulated"],
        accepted_fidelity=report.accepted_fidelity,
    ).passed


def _pack(evidence: Evidence, found: Found, facts: BundleFacts) -> Value:
    """The same pack of what lies at the run's places now. That nothing is left out of it is the gate's own rule."""
    places = {name: kind.path for name, kind in PACK_FILES.items()} | {"certification_report": evidence.report_path}
    return pack_facts(
        facts.bundle,
        {row.name: evidence.root / places.get(row.name, "") for row in facts.exhibits},
        profile=evidence.report.profile,
        base=(evidence.root / found.kind.path).parent,
        release=evidence.report.release,
        required=facts.required,
        pack_id=facts.pack_id,
    )


def _stamp(data: Mapping[str, object]) -> Stamp:
    return Stamp.model_validate({name: data.get(name) for name in Stamp.model_fields})


def _linked(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """The evidence chain, and the files that its last entry indexes."""
    if documents.CHAIN.name not in evidence.documents:
        return
    folder = Path(documents.CHAIN.path).parent.as_posix()
    report = verify_chain(chain_folder(evidence.root), render=document_markdown)
    index = evidence.documents.get(documents.INDEX.name)
    if report.head is not None and index is not None and index.sha256 != report.head.artifact_index:
        path = index.kind.path
        yield red(path, "not_chained", f"{path} is not the index that the last entry of {folder} names")
    for ruling in report.red:
        inside = (evidence.root / ruling.subject).exists() or ruling.code in ("missing", "changed", "unreadable")
        yield red(ruling.subject if inside else folder, ruling.code, f"{folder}: {ruling.text}")


def _source(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """The run was of a commit that is known, and of nothing else."""
    path = evidence.report_path
    if not evidence.source.commit:
        yield red(path, "commit_unknown", f"{path} names no commit: the run was not in a git repository")
    elif evidence.source.dirty is not False:
        yield red(path, "dirty", f"{path}: the source tree was not that of its commit: it had changes of its own")


def _bound(evidence: Evidence, _policy: VerificationPolicy) -> Iterator[Ruling]:
    """The source that the report names is the one that was bound."""
    found = evidence.documents.get(documents.SOURCE.name)
    facts = found.judged.facts if found is not None else None
    if found is None or not isinstance(facts, SourceFacts):
        return
    bound = (facts.start.tree.commit, facts.start.tree.tracked.digest)
    if bound != (evidence.source.commit, evidence.source.tree):
        path = found.kind.path
        yield red(path, "binds_another", f"{path} binds another source than the certification report names")


Check = Callable[[Evidence, VerificationPolicy], Iterator[Ruling]]
CHECKS: tuple[Check, ...] = (
    _matrix,
    _report,
    _heads,
    _present,
    _judged,
    _derived,
    _linked,
    twins,
    _source,
    _bound,
    asked,
)
"""Every rule that a tree is judged by again, in the order in which they are told."""
