"""The word that ends a run: a pure decision over its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.gates.matrix import PASSED_THOUGH_KNOWN
from ..core.gates.ruling import RELEASE_PROFILES
from ..core.model import CaseRecord, NotRun, Verdict
from ..errors import UsageError

SIMULATED = "mock_local"
"""The run mode in which no row of a service is moved: it gives another word, and no artifact of it says `passed`."""


_KNOWN = "known failure"

SHARD = "SHARD"
"""The word of a part of a run, which says nothing of the whole."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`passed` sets the exit status; `headline` is the line for people; `blockers` are stable codes with subject."""

    passed: bool
    word: str
    headline: str
    blockers: tuple[str, ...]


def decide(
    records: Sequence[CaseRecord],
    *,
    profile: str,
    matrix_size: int,
    run_mode: str = "real_local",
    blockers: Sequence[str] = (),
    accepted_fidelity: Sequence[str] = (),
    pack: bool = False,
    note: str = "",
) -> Decision:
    """Judge the records of a whole scope under a profile; a simulated run is at best `SIMULATED`, whatever the profile.

    `matrix_size` is the number of all planned cases, of which `records` may be a selection. `blockers` are codes of
    what went wrong beside the cases; any of them makes the run red. With `pack` they are those of the release pack
    too, and the word is GO or NO-GO; without it a release profile says nothing about a release. `note` ends the
    headline's counts. Raises `UsageError` for an unknown profile.
    """
    if run_mode == SIMULATED:
        return _simulated(records, matrix_size, tuple(blockers), note)
    if profile == "local_live":
        red = _local(records)
    elif profile in RELEASE_PROFILES:
        red = _real(records, matrix_size, accepted_fidelity)
    else:
        raise UsageError(
            f"the profile {profile!r} has no verdict yet", hint="use local_live, real_local or vendor_live"
        )
    found = (*red, *blockers)
    counts = "; ".join(filter(None, (_counts(records, matrix_size), note)))
    if found:
        word = "NO-GO" if pack else "FAILED"
        # Red cases make gates red, too: they are what there is to say first.
        tail = f"; {_many(len(found), 'blocker')}" if pack else _beside(() if red else tuple(blockers))
        return Decision(False, word, f"{word}: {counts}{tail}", found)
    word = "GO" if pack else "PASSED"
    whole = sum(record.verdict is Verdict.PASSED for record in records) == len(records) == matrix_size
    return Decision(True, word, f"{word} ({counts})" if whole else f"{word} (reduced scope: {counts})", ())


def blockers_of(record: CaseRecord) -> tuple[str, ...]:
    """The stable code of a case that did not pass, e.g. `postgres_to_mssql__cdc.not_run`; empty for one that did."""
    if record.verdict is Verdict.PASSED:
        return ()
    return (f"{record.case_id}.{record.verdict}",)


def decide_shard(
    records: Sequence[CaseRecord],
    *,
    shard: tuple[int, int],
    profile: str,
    run_mode: str,
    blockers: Sequence[str] = (),
    accepted_fidelity: Sequence[str] = (),
) -> Decision:
    """Judge the records of a part of the scope: green means that nothing speaks against it yet, never more."""
    release = profile in RELEASE_PROFILES and run_mode != SIMULATED
    red = _real(records, len(records), accepted_fidelity) if release else _local(records)
    found = tuple(code for code in (*red, *blockers) if code != "scope.nothing_passed")
    counts = _counts(records, len(records), passed="behaved" if run_mode == SIMULATED else "passed")
    text = f"{shard[0]} of {shard[1]}: {counts.replace('planned cases', 'cases of this shard')}"
    if found:
        return Decision(False, "FAILED", f"FAILED: shard {text}{_beside(tuple(blockers))}", found)
    return Decision(True, SHARD, f"{SHARD} {text}; `pytest-dpone merge` gives the verdict", ())


def _simulated(records: Sequence[CaseRecord], matrix_size: int, extra: tuple[str, ...], note: str) -> Decision:
    found = (*_local(records), *extra)
    counts = _counts(records, matrix_size, passed="behaved")
    text = "; ".join(filter(None, (counts, note, "no real row was moved")))
    if found:
        return Decision(False, "FAILED", f"FAILED: {text}{_beside(extra)}", found)
    return Decision(True, "SIMULATED", f"SIMULATED ({text})", ())


def _local(records: Sequence[CaseRecord]) -> list[str]:
    red = [code for r in records if not (r.excused or (r.reason and r.reason.tolerated)) for code in blockers_of(r)]
    red += [f"{r.case_id}.{PASSED_THOUGH_KNOWN}" for r in records if r.known and r.verdict is Verdict.PASSED]
    if not any(record.verdict is Verdict.PASSED for record in records):
        red.append("scope.nothing_passed")
    return red


def _real(records: Sequence[CaseRecord], matrix_size: int, accepted: Sequence[str]) -> list[str]:
    good = {"real", *accepted}
    red = [code for record in records for code in blockers_of(record)]
    for record in records:
        if record.verdict is Verdict.PASSED:
            red += [
                f"{record.case_id}.fidelity_{s.fidelity}.{s.name}" for s in record.services if s.fidelity not in good
            ]
    if len(records) < matrix_size:
        red.append("scope.reduced")
    if not records:
        red.append("scope.nothing_passed")
    return red


def _counts(records: Sequence[CaseRecord], matrix_size: int, *, passed: str = "passed") -> str:
    words: Counter[str] = Counter(_KNOWN if r.excused else str(r.reason or r.verdict) for r in records)
    good = words.pop("passed", 0)
    planned = f"{len(records)} planned cases" if len(records) == matrix_size else _selected(len(records), matrix_size)
    parts = [f"{good} of {planned} {passed}"]
    if failed := words.pop("failed", 0):
        parts.append(f"{failed} failed")
    if known := words.pop(_KNOWN, 0):
        parts.append(_many(known, _KNOWN))
    order = sorted(NotRun, key=lambda reason: not reason.tolerated)
    parts += [f"{words[reason]} {reason}" for reason in order if words[reason]]
    return "; ".join(parts)


def _selected(chosen: int, matrix_size: int) -> str:
    return f"{_many(chosen, 'selected case')} (of {matrix_size} planned)"


def _beside(extra: tuple[str, ...]) -> str:
    return f"; {_many(len(extra), 'blocker')} beside the cases: {', '.join(extra[:3])}" if extra else ""


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
