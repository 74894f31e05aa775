"""Evidence from elsewhere: it must say `passed: true`, say what it looked at, and not contradict itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..strict import NotStrict, kind_of, number


class Problem(NamedTuple):
    """What is wrong with a piece of evidence: a stable code, and a text that follows its name."""

    code: str
    text: str


_RED_WORDS = frozenset({"failed", "failure", "red", "error", "crashed", "not_run", "no-go", "fail", "broken"})
_RED_COUNTS = frozenset({"failed", "failures", "errors", "mismatches", "lost", "duplicated", "unexpected", "not_run"})
_COUNTS = ("tests", "checks", "cases", "checked", "passed", "rows_checked", "keys_checked", "tables")
_LISTS = ("results", "checks", "cases", "tests", "tables", "rows")

TALLY = "counts.passed ≥ 1, or a count ≥ 1 or a list under tests, checks or cases"
_NEEDS = {
    "service_markers": TALLY,
    "state": TALLY,
    "reconciliation": TALLY,
    "certification_report": TALLY,
    "runtime_metrics": "metrics",
    "benchmark_slo_gate": "metrics",
    "performance_certification": "metrics",
    "live_state_reconciliation": "artifacts",
    "certification_pack": "artifacts",
    "artifact_index": "files",
    "evidence_chain": "entries",
    "pre_release_checklist": "checks",
}
"""Kind → what a document of it must say beside `passed`."""


def judge_external(kind: str, data: Mapping[str, object]) -> list[Problem]:
    """What is wrong with `data` as evidence of `kind`; empty if it may be taken."""
    problems = [*_passed(data), *_contradictions(data)]
    need = _NEEDS.get(kind)
    if need == TALLY:
        problems += _tally(data)
    elif need == "metrics":
        problems += _metrics(data)
    elif need == "checks":
        problems += _checks(data)
    elif need is not None and not _filled(data.get(need)):
        problems.append(Problem("facts_missing", f"says nothing under {need}"))
    return problems


def _passed(data: Mapping[str, object]) -> list[Problem]:
    if "passed" not in data:
        return [Problem("passed_missing", "has no field passed")]
    passed = data["passed"]
    if not isinstance(passed, bool):
        return [Problem("passed_not_boolean", f"says passed as {kind_of(passed)}, not as a boolean")]
    return [] if passed else [Problem("red", "says passed: false")]


def _contradictions(data: Mapping[str, object]) -> Iterator[Problem]:
    """Red words below a green one; the first few are enough."""
    found = 0
    todo: list[tuple[str, object]] = [("", data)]
    while todo and found < 5:
        path, value = todo.pop()
        if isinstance(value, list):
            todo += [(f"{path}[{i}]", item) for i, item in enumerate(value)]
        elif isinstance(value, dict):
            for name, item in value.items():
                place = f"{path}.{name}" if path else name
                todo.append((place, item))
                if path + name != "passed" and _is_red(name, item):
                    found += 1
                    yield Problem("contradicts_itself", f"has {place} beside passed")


def _is_red(name: str, value: object) -> bool:
    name = name.lower()
    if name == "blockers" or name in _RED_COUNTS:
        return bool(value)
    if name in ("passed", "ok", "success"):
        return value is False or value is None
    if name in ("verdict", "status", "outcome", "result", "decision"):
        return isinstance(value, str) and value.lower() in _RED_WORDS
    return False


def _tally(data: Mapping[str, object]) -> list[Problem]:
    """At least one thing was looked at and passed."""
    wrong = [f"{name} is negative" for name, value in data.items() if name in _COUNTS and _negative(value)]
    counts = data.get("counts")
    if isinstance(counts, dict):
        wrong += [f"counts.{name} is no count" for name, value in counts.items() if not _is_count(value)]
    if wrong:
        return [Problem("facts_wrong", f"says that {wrong[0]}")]
    sources = [data] if not isinstance(counts, dict) else [counts]
    markers = data.get("markers")
    if isinstance(markers, dict):
        sources = [row if isinstance(row, dict) else {} for row in markers.values()]
    if sources and all(_looked(source) for source in sources):
        return []
    return [Problem("facts_missing", f"does not say what was looked at: {TALLY}")]


def _looked(data: Mapping[str, object]) -> bool:
    if _is_count(data.get("passed")):
        return data["passed"] != 0
    for name in _COUNTS:
        value = data.get(name)
        if _is_count(value):
            # All of them skipped: nothing was looked at.
            return isinstance(value, int) and value > (_skipped(data) or 0)
    return any(_all_passed(data.get(name)) for name in _LISTS)


def _skipped(data: Mapping[str, object]) -> int:
    skipped = data.get("skipped")
    return skipped if isinstance(skipped, int) and not isinstance(skipped, bool) else 0


def _all_passed(value: object) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list) or not value:
        return False
    return all(item is True or (isinstance(item, dict) and item.get("passed") is True) for item in value)


def _metrics(data: Mapping[str, object]) -> list[Problem]:
    metrics = data.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        return [Problem("facts_missing", "says nothing under metrics")]
    for name, value in metrics.items():
        try:
            if number(value) < 0:
                return [Problem("facts_wrong", f"has the negative metric {name}")]
        except NotStrict as error:
            return [Problem("facts_wrong", f"has a metric {name} that {error}")]
    return []


def _checks(data: Mapping[str, object]) -> list[Problem]:
    if _all_passed(data.get("checks")):
        return []
    return [Problem("facts_missing", "has no checks that are all true")]


def _filled(value: object) -> bool:
    return isinstance(value, list | dict) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _negative(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value < 0
