"""What must not pass: one row per way to fool a gate, with the exit status and the words that name the culprit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_dpone.core.gates.documents import content_sha256

A = "test_artifacts/live_certification"
PERFORMANCE = "performance-certification/performance_certification.json"
CHECKLIST = "pre-release/pre_release_checklist.json"
PACK = "certification-pack/connector_certification_pack.json"
STATE = "live-state-reconciliation/live_state_reconciliation.json"
CHAIN = "evidence-chain/evidence_chain_index.json"
INDEX = "artifact-index/artifact_index.json"
BENCHMARK = "benchmark-slo/benchmark_slo_gate.json"
REPORT = "matrix/certification_report.json"
BEHAVIOR = "matrix/postgres_to_clickhouse__full_refresh__behavior.json"

WRONG, RED, UNVERIFIABLE = 4, 1, 3


@dataclass(frozen=True)
class Row:
    """`command` is a name of `ops_argv` with changed flags, or whole words; `before` breaks the tree."""

    name: str
    command: str | tuple[str, ...]
    status: int
    words: str
    flags: dict[str, str | None] = field(default_factory=dict)
    """Flag → another value, or None to leave it out."""
    more: tuple[str, ...] = ()
    before: Callable[..., object] | None = None


def rows() -> Iterator[Row]:
    yield from metric_rows()
    yield from baseline_rows()
    yield from objective_rows()
    yield from bound_rows()
    yield from word_rows()
    yield from checklist_rows()
    yield from external_rows()
    yield from own_rows()
    yield from pack_rows()
    yield from matrix_rows()
    yield from index_rows()
    yield from chain_rows()


DEEP = "[" * 5000 + "]" * 5000
BAD_JSON = {
    "empty": ("", "Expecting value"),
    "not json": ("{'a': 1}", "not strict JSON"),
    "cut": ('{"a": 1', "not strict JSON"),
    "two values": ('{"a": 1} {}', "Extra data"),
    "duplicate key": ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
    "deep": ('{"a": ' + DEEP + "}", "nested deeper than 64 levels"),
    "a little too deep": ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested deeper than 64 levels"),
    "NaN": ('{"a": NaN}', "NaN is no JSON number"),
    "Infinity": ('{"a": Infinity}', "Infinity is no JSON number"),
    "minus Infinity": ('{"a": -Infinity}', "-Infinity is no JSON number"),
    "1e999": ('{"a": 1e999}', "the number 1e999 overflows"),
    "byte order mark": ("\ufeff{}", "byte order mark"),
    "invalid UTF-8": ('{"a\udcff": 1}', "is not UTF-8"),
    "half a surrogate pair": ('{"\\ud800": 1}', "half of a surrogate pair"),
    "thousands of digits": ('{"a": ' + "9" * 5000 + "}", "not strict JSON"),
    "array": ("[1]", "an array, not an object"),
    "text": ('"a"', "a text, not an object"),
    "number": ("1", "a number, not an object"),
    "null": ("null", "null, not an object"),
    "boolean": ("true", "a boolean, not an object"),
    "empty object": ("{}", "are empty"),
    "no such file": ("@nowhere.json", "nowhere.json is missing"),
    "a folder": ("@test_artifacts", "is no regular file"),
    "a file that is not JSON": (
        "@test_artifacts/live_certification/plan/live_certification_plan.md",
        "not strict JSON",
    ),
    "a name with NUL": ("@a\0b", "is no path"),
    "a long name": ("@" + "a" * 300, "too long"),
    "nothing after the @": ("@", "is no path"),
}
BAD_NUMBERS = {
    "text": ('"1"', "a text, not a number"),
    "boolean": ("true", "a boolean, not a number"),
    "null": ("null", "null, not a number"),
    "array": ("[1]", "an array, not a number"),
    "object": ('{"x": 1}', "not a number"),
    "negative": ("-1", "is negative"),
    "a little negative": ("-0.001", "is negative"),
    "too large": ("1e300", "no number that can be measured"),
    "too large an integer": ("1" + "0" * 400, "no number that can be measured"),
}


def metric_rows() -> Iterator[Row]:
    for command in ("benchmark", "performance"):
        for name, (text, words) in BAD_JSON.items():
            yield Row(f"{command} metrics {name}", command, WRONG, words, {"--metrics-json": text})
        for name, (text, words) in BAD_NUMBERS.items():
            metrics = f'{{"duration_seconds": {text}}}'
            yield Row(f"{command} metric is {name}", command, WRONG, words, {"--metrics-json": metrics})
        yield Row(f"{command} failure rate over 1", command, WRONG, "'failure_rate' is greater than 1",
                  {"--metrics-json": '{"failure_rate": 1.5}'})  # fmt: skip
        yield Row(f"{command} nameless", command, WRONG, "without a name", {"--metrics-json": '{"": 1}'})
    good = {"throughput_rows_per_second": 120000, "duration_seconds": 40, "freshness_lag_seconds": 1, "failure_rate": 0}
    for name in good:
        less = json.dumps({key: value for key, value in good.items() if key != name})
        yield Row(f"missing {name}", "benchmark", RED, f"{name}.missing", {"--metrics-json": less})
    worse = {
        "throughput_rows_per_second": 99999,
        "duration_seconds": 61,
        "freshness_lag_seconds": 301,
        "failure_rate": 0.1,
    }
    codes = ("regression", "regression", "above_maximum", "above_maximum")
    for (name, value), code in zip(worse.items(), codes, strict=True):
        text = json.dumps({**good, name: value})
        yield Row(f"worse {name}", "benchmark", RED, f"{name}.{code}", {"--metrics-json": text})


def baseline_rows() -> Iterator[Row]:
    for name in ("duplicate key", "deep", "NaN", "array", "empty object", "no such file", "invalid UTF-8"):
        text, words = BAD_JSON[name]
        yield Row(f"baseline {name}", "benchmark", WRONG, words, {"--baseline-json": text})
    for name, (text, words) in {
        "a number": ("5", "is a number, not an object"),
        "without direction": ('{"value": 1}', "has no direction"),
        "without value": ('{"direction": "higher"}', "has no value"),
        "misspelt direction": ('{"value": 1, "direction": "hihger"}', "neither higher nor lower"),
        "direction in capitals": ('{"value": 1, "direction": "HIGHER"}', "neither higher nor lower"),
        "direction null": ('{"value": 1, "direction": null}', "neither higher nor lower"),
        "unknown key": ('{"value": 1, "direction": "higher", "tolerance": 1}', "unknown key 'tolerance'"),
        "value text": ('{"value": "1", "direction": "higher"}', "a text, not a number"),
        "value negative": ('{"value": -1, "direction": "lower"}', "is negative"),
        "value 0 and higher": ('{"value": 0, "direction": "higher"}', "no value is worse than"),
        "ratio 1": ('{"value": 1, "direction": "higher", "max_regression_ratio": 1}', "is not below 1"),
        "ratio 2": ('{"value": 1, "direction": "higher", "max_regression_ratio": 2}', "is not below 1"),
        "ratio negative": ('{"value": 1, "direction": "higher", "max_regression_ratio": -0.1}', "is negative"),
        "ratio boolean": ('{"value": 1, "direction": "higher", "max_regression_ratio": true}', "a boolean"),
        "ratio text": ('{"value": 1, "direction": "higher", "max_regression_ratio": "0"}', "a text"),
        "ratio misspelt": ('{"value": 1, "direction": "higher", "max_regresion_ratio": 0}', "did you mean"),
    }.items():
        yield Row(f"baseline {name}", "benchmark", WRONG, words, {"--baseline-json": f'{{"duration_seconds": {text}}}'})
    loose = '{"duration_seconds": {"value": 30, "direction": "lower", "max_regression_ratio": 0.3}}'
    yield Row("beyond the ratio", "benchmark", RED, "duration_seconds is 40, worse", {"--baseline-json": loose})


def objective_rows() -> Iterator[Row]:
    for name in ("duplicate key", "deep", "1e999", "text", "empty object", "no such file", "invalid UTF-8"):
        text, words = BAD_JSON[name]
        yield Row(f"objectives {name}", "benchmark", WRONG, words, {"--objectives-json": text})
    for name, (text, words) in {
        "a number": ("300", "is a number, not an object"),
        "empty": ("{}", "neither min nor max"),
        "misspelt": ('{"mx": 1}', "unknown key 'mx'"),
        "in capitals": ('{"MAX": 1}', "unknown key 'MAX'"),
        "max beside another key": ('{"max": 300, "maximum": 1}', "unknown key 'maximum'"),
        "max null": ('{"max": null}', "null, not a number"),
        "max text": ('{"max": "300"}', "a text, not a number"),
        "max boolean": ('{"max": true}', "a boolean, not a number"),
        "max negative": ('{"max": -1}', "is negative"),
        "min above max": ('{"min": 2, "max": 1}', "a min above its max"),
    }.items():
        objectives = f'{{"duration_seconds": {text}}}'
        yield Row(f"objective {name}", "benchmark", WRONG, words, {"--objectives-json": objectives})
    unknown = '{"latency_seconds": {"max": 1}}'
    yield Row("objective of what was not measured", "benchmark", RED, "latency_seconds.missing",
              {"--objectives-json": unknown})  # fmt: skip


def bound_rows() -> Iterator[Row]:
    for flag in ("--minimum-json", "--maximum-json"):
        for name in ("duplicate key", "NaN", "array", "empty object"):
            text, words = BAD_JSON[name]
            yield Row(f"{flag} {name}", "performance", WRONG, words, {flag: text})
        for name, (text, words) in BAD_NUMBERS.items():
            yield Row(f"{flag} is {name}", "performance", WRONG, words, {flag: f'{{"duration_seconds": {text}}}'})
    neither: dict[str, str | None] = {"--minimum-json": None, "--maximum-json": None}
    yield Row("no bound", "performance", WRONG, "neither a minimum nor a maximum", neither)
    for name, metrics, words in (
        ("below", '{"throughput_rows_per_second": 499, "failure_rate": 0}', "throughput_rows_per_second.below_minimum"),
        ("above", '{"duration_seconds": 121}', "duration_seconds.above_maximum"),
        ("missing where lower is better", '{"throughput_rows_per_second": 900}', "memory_peak_mb.missing"),
        ("missing where higher is better", '{"duration_seconds": 1}', "throughput_rows_per_second.missing"),
        ("failures with a floor only", '{"failure_rate": 0.5}', "failure_rate.above_maximum"),
    ):
        yield Row(f"performance {name}", "performance", RED, words, {"--metrics-json": metrics})


def word_rows() -> Iterator[Row]:
    for command in ("plan", "performance"):
        for text in ("0", "-1", "1.5", "1e3", "25_000", "", " 1", "٣", "x", "0x10", "00", "9" * 30):
            yield Row(f"{command} row count {text!r}", command, WRONG, "no whole number ≥ 1", {"--row-count": text})
    for command in ("plan", "performance", "live_state", "certification_pack", "release_pack"):
        yield Row(f"{command} unknown profile", command, WRONG, "'real_loca' is unknown", {"--profile": "real_loca"})
        yield Row(f"{command} no profile", command, WRONG, "--profile", {"--profile": None})
        yield Row(f"{command} empty profile", command, WRONG, "the profile '' is unknown", {"--profile": ""})
    yield Row(
        "release pack of local_live", "release_pack", WRONG, "local_live has no such gate", {"--profile": "local_live"}
    )
    yield Row("mock profile", "performance", WRONG, "'mock_local' is unknown", {"--profile": "mock_local"})
    yield Row("vendor plan without its flag", "plan", WRONG, "cost money", {"--profile": "vendor_live"})
    yield Row("flag without vendor plan", "plan", WRONG, "contradicts", more=("--include-vendor-live",))
    for name, text in {
        "empty": "",
        "slash": "v1/2",
        "parent": "../v1",
        "dot": ".",
        "leading dot": ".v1",
        "newline": "v1\n",
        "NUL": "v1\0",
        "space": "v 1",
        "300 characters": "v" * 300,
        "letters": "вэ1",
        "invalid UTF-8": "v1\udcff",
    }.items():
        for command in ("certification_pack", "index", "chain", "checklist", "release_pack"):
            yield Row(f"{command} release {name}", command, WRONG, "no name for a release", {"--release": text})
    yield Row("unknown gate", ("benchmark-gate",), WRONG, "invalid choice")
    yield Row("no gate", (), WRONG, "required: GATE")
    yield Row("unknown flag", "plan", WRONG, "unrecognized arguments", more=("--dry-run",))
    yield Row("shortened flag", "plan", WRONG, "unrecognized arguments", more=("--include-vendor",))
    yield Row("unknown format", "plan", WRONG, "invalid choice", more=("--format", "xml"))
    yield Row("a flag twice", "plan", WRONG, "--profile is given twice", more=("--profile", "real_local"))
    yield Row("output is a file", "plan", RED, "can't be written",
              {"--output-dir": f"{A}/service_markers.json"})  # fmt: skip
    yield Row("output with NUL", "plan", WRONG, "is no path", {"--output-dir": "a\0b"})
    yield Row("output too long", "plan", WRONG, "too long", {"--output-dir": "a" * 300})


def checklist_rows() -> Iterator[Row]:
    for name in (
        *("cli_commands", "run_cli", "run_python_api", "hierarchical_lineage", "source_sink_matrix"),
        *("contracts_guardrails", "documentation", "package"),
    ):
        yield Row(f"check {name} left out", without(name), RED, f"{name}.missing")
        yield Row(f"check {name} false", (*without(name), "--check", f"{name}=false"), RED, f"{name}.not_done")
    for value in ("True", "1", "yes", "", "null", "true "):
        yield Row(
            f"check is {value!r}", "checklist", WRONG, "neither true nor false", more=("--check", f"extra={value}")
        )
    yield Row("check without value", "checklist", WRONG, "has no value", more=("--check", "extra"))
    yield Row("check without name", "checklist", WRONG, "no name for a check", more=("--check", "=true"))
    yield Row("check twice", "checklist", WRONG, "is given twice", more=("--check", "package=true"))
    yield Row("another check false", "checklist", RED, "extra.not_done", more=("--check", "extra=false"))
    misspelt = (*without("documentation"), "--check", "documentaton=true")
    yield Row("check misspelt", misspelt, RED, "did you mean documentaton?")
    yield Row(
        "no check", ("pre-release-checklist", "--release=v1.2.3", "--release-type=patch"), WRONG, "no check is given"
    )
    for release, kind in (("v0.8.0", "patch"), ("v1.0.0", "minor"), ("v2.0.0", "patch"), ("1.0.0-rc.1", "minor")):
        yield Row(f"{release} as {kind}", "checklist", WRONG, f"{kind} is weaker than {release}",
                  {"--release": release, "--release-type": kind})  # fmt: skip
    yield Row("v1.0.0 needs more", "checklist", RED, "upgrade_notes.missing",
              {"--release": "v1.0.0", "--release-type": "major"})  # fmt: skip
    yield Row("unknown type", "checklist", WRONG, "'mnior' is unknown", {"--release-type": "mnior"})
    for release in ("v1", "v1.2", "1.2.3.4", "v01.2.3", "next", "v1.2.x"):
        yield Row(f"no version {release}", "checklist", WRONG, "is no version", {"--release": release})


def without(check: str) -> tuple[str, ...]:
    """The checklist's command without one check, and without files."""
    names = (
        *("cli_commands", "run_cli", "run_python_api", "hierarchical_lineage", "source_sink_matrix"),
        *("contracts_guardrails", "documentation", "package"),
    )
    words = [word for name in names if name != check for word in ("--check", f"{name}=true")]
    return ("pre-release-checklist", "--release", "v0.7.1", "--release-type", "minor", *words)


def external_rows() -> Iterator[Row]:
    """Evidence from elsewhere, as state evidence and as service markers."""
    for name, (data, words) in {
        "no passed": ({"cases": 1}, "state.passed_missing"),
        "passed text": ({"passed": "true", "cases": 1}, "state.passed_not_boolean"),
        "passed number": ({"passed": 1, "cases": 1}, "state.passed_not_boolean"),
        "passed null": ({"passed": None, "cases": 1}, "state.passed_not_boolean"),
        "passed object": ({"passed": {}, "cases": 1}, "state.passed_not_boolean"),
        "passed false": ({"passed": False, "cases": 1}, "state.red"),
        "nothing looked at": ({"passed": True}, "state.facts_missing"),
        "zero cases": ({"passed": True, "cases": 0}, "state.facts_missing"),
        "empty cases": ({"passed": True, "cases": []}, "state.facts_missing"),
        "cases as text": ({"passed": True, "cases": "2"}, "state.facts_missing"),
        "cases as boolean": ({"passed": True, "cases": True}, "state.facts_missing"),
        "negative cases": ({"passed": True, "cases": -2}, "cases is negative"),
        "zero counts": ({"passed": True, "counts": {"passed": 0}}, "state.facts_missing"),
        "negative counts": ({"passed": True, "counts": {"passed": 3, "skipped": -1}}, "counts.skipped is no count"),
        "counts as text": ({"passed": True, "counts": {"passed": "3"}}, "counts.passed is no count"),
        "all skipped": ({"passed": True, "counts": {"passed": 0, "skipped": 9}}, "state.facts_missing"),
        "as many skipped as tests": ({"passed": True, "tests": 9, "skipped": 9}, "state.facts_missing"),
        "a failed count": ({"passed": True, "counts": {"passed": 3, "failed": 1}}, "has counts.failed beside passed"),
        "errors": ({"passed": True, "cases": 3, "errors": ["x"]}, "has errors beside passed"),
        "blockers": ({"passed": True, "cases": 3, "blockers": ["x"]}, "has blockers beside passed"),
        "a failed result": ({"passed": True, "cases": [{"passed": True}, {"passed": False}]}, "cases[1].passed"),
        "a result without passed": ({"passed": True, "cases": [{"name": "a"}]}, "state.facts_missing"),
        "a failed status": ({"passed": True, "cases": 3, "status": "FAILED"}, "has status beside passed"),
        "a deep failure": ({"passed": True, "cases": 3, "a": [{"b": {"failed": 2}}]}, "a[0].b.failed"),
        "not run": ({"passed": True, "cases": 3, "not_run": 1}, "has not_run beside passed"),
        "another profile": ({"passed": True, "cases": 3, "profile": "local_live"}, "state.another_profile"),
        "profile as number": ({"passed": True, "cases": 3, "profile": 1}, "profile as a number"),
        "simulated": ({"passed": True, "cases": 3, "run_mode": "mock_local"}, "state.simulated"),
        "array": ([1], "state.not_json"),
        "unknown schema of ours": ({"schema": "pytest-dpone/state/v9", "passed": True, "cases": 1}, "unknown_schema"),
        "a case's document": ({"schema": "pytest-dpone/case-behavior/v1", "passed": True}, "no evidence by itself"),
    }.items():
        yield Row(f"state evidence {name}", "live_state", RED, words, before=write("state_evidence.json", data))
    for name, (raw, words) in {
        "duplicate key": (b'{"passed": false, "passed": true, "cases": 1}', "'passed' occurs twice"),
        "NaN": (b'{"passed": true, "cases": NaN}', "NaN is no JSON number"),
        "1e999": (b'{"passed": true, "cases": 1e999}', "overflows"),
        "deep": (b'{"passed": true, "cases": 1, "a": ' + DEEP.encode() + b"}", "nested deeper"),
        "invalid UTF-8": (b'{"passed": true, "cases": 1, "a": "\xff"}', "is not UTF-8"),
        "UTF-16": ('{"passed": true, "cases": 1}'.encode("utf-16"), "is not UTF-8"),
        "empty": (b"", "state.not_json"),
        "cut": (b'{"passed": true, "cases"', "state.not_json"),
        "no JSON": (b"passed", "state.not_json"),
    }.items():
        yield Row(f"state evidence {name}", "live_state", RED, words, before=write("state_evidence.json", raw))
    yield Row("state evidence gone", "live_state", RED, "state.missing", before=delete("state_evidence.json"))
    yield Row("state evidence a folder", "live_state", RED, "is no regular file", before=folder("state_evidence.json"))
    yield Row("state evidence a pipe", "live_state", RED, "is no regular file", before=pipe("state_evidence.json"))
    markers = {"passed": True, "markers": {"integration_postgres": {"passed": 3}, "integration_kafka": {"passed": 0}}}
    yield Row("a marker without a test", "certification_pack", RED, "service_markers.facts_missing",
              before=write("service_markers.json", markers))  # fmt: skip


def own_rows() -> Iterator[Row]:
    """Documents of ours, edited by hand and given to the release pack."""
    for name, (path, change, words) in {
        "passed text": (PERFORMANCE, put("passed", "true"), "is malformed: passed"),
        "passed number": (PERFORMANCE, put("passed", 1), "is malformed: passed"),
        "passed null": (PERFORMANCE, put("passed", None), "is malformed: passed"),
        "passed gone": (PERFORMANCE, gone("passed"), "is malformed: passed"),
        "passed false": (PERFORMANCE, put("passed", False), "performance_certification.red"),
        "blockers": (PERFORMANCE, put("blockers", ["x.y"]), "says something else than follows from its facts"),
        "release": (PERFORMANCE, put("release", "v0.7.0"), "performance_certification.another_release"),
        "profile": (PERFORMANCE, put("profile", "local_live"), "names one profile in its head"),
        "run mode": (PERFORMANCE, put("run_mode", "mock_local"), "performance_certification.simulated"),
        "kind": (PERFORMANCE, put("schema", "pytest-dpone/service-markers/v1"), "is malformed"),
        "version": (PERFORMANCE, put("schema", "pytest-dpone/performance-certification/v2"), "unknown schema"),
        "schema gone": (PERFORMANCE, gone("schema"), "says nothing under metrics"),
        "metric": (PERFORMANCE, put("facts.metrics.duration_seconds", 500), "is red: duration_seconds.above_maximum"),
        "metric text": (PERFORMANCE, put("facts.metrics.duration_seconds", "5"), "is malformed: facts.metrics"),
        "metric boolean": (PERFORMANCE, put("facts.metrics.duration_seconds", True), "is malformed: facts.metrics"),
        "metric negative": (PERFORMANCE, put("facts.metrics.duration_seconds", -5), "is malformed: facts.metrics"),
        "metrics gone": (PERFORMANCE, put("facts.metrics", {}), "is malformed: facts.metrics"),
        "bounds gone": (PERFORMANCE, put("facts.maximum", {}), "says something else than follows from its facts"),
        "row count 0": (PERFORMANCE, put("facts.row_count", 0), "is malformed: facts.row_count"),
        "a note": (PERFORMANCE, put("note", "reviewed"), "is malformed: note"),
        "time": (PERFORMANCE, put("generated_at", "2099-01-01T00:00:00.000Z"), "was edited"),
        "time in words": (PERFORMANCE, put("generated_at", "today"), "is malformed: generated_at"),
        "results gone": (PERFORMANCE, put("results", []), "says something else than follows from its facts"),
        "check undone": (CHECKLIST, put("facts.items", []), "is malformed: facts.items"),
        "checklist's release": (CHECKLIST, put("release", "v0.7.0"), "pre_release_checklist.another_release"),
        "checklist without release": (CHECKLIST, put("release", None), "pre_release_checklist.another_release"),
        "pack's artifact gone": (PACK, put("facts.exhibits", []), "certification_pack.red"),
        "pack's release": (PACK, put("release", "v0.7.0"), "certification_pack.another_release"),
        "pack's id": (PACK, put("facts.pack_id", "second"), "certification_pack.edited"),
        "pack's digest": (PACK, put("facts.exhibits.0.sha256", "0" * 64), "says something else than follows"),
        "state's path": (STATE, put("facts.exhibits.0.path", "../service_markers.json"), "artifact_changed"),
        "chain's entry": (CHAIN, put("facts.entries.0.release", "v0.7.0"), "evidence_chain"),
        "chain's root": (CHAIN, put("facts.root", "0" * 64), "evidence_chain.red"),
        "chain's entries": (CHAIN, put("facts.entries", []), "evidence_chain.red"),
    }.items():
        yield Row(f"edited {name}", "release_pack", RED, words, before=edit(path, change))
    for source, target in ((PERFORMANCE, PACK), (CHECKLIST, PERFORMANCE), (PACK, STATE), (STATE, CHECKLIST)):
        yield Row(
            f"{source} in the place of {target}", "release_pack", RED, "another_kind", before=copy(source, target)
        )


def pack_rows() -> Iterator[Row]:
    names = ("service_markers", "certification_pack", "performance_certification", "live_state_reconciliation",
             "evidence_chain", "pre_release_checklist")  # fmt: skip
    paths = ("service_markers.json", PACK, PERFORMANCE, STATE, CHAIN, CHECKLIST)
    for name, path in zip(names, paths, strict=True):
        yield Row(f"{name} not given", release_without(name), RED, f"{name}.missing")
        yield Row(f"{name} deleted", "release_pack", RED, f"{name}.missing", before=delete(path))
    few = ("--require", "service_markers", "--artifact", f"service_markers={A}/service_markers.json")
    small = ("release-evidence-pack", "--release", "v0.7.1", "--profile", "real_local", *few)
    yield Row("a smaller required set", small, RED, "performance_certification.missing")
    none = ("release-evidence-pack", "--release", "v0.7.1", "--profile", "real_local")
    yield Row("no artifact", none, RED, "service_markers.missing")
    yield Row("more required than given", "release_pack", RED, "soak.missing", more=("--require", "soak"))
    yield Row("required twice", "release_pack", WRONG, "is given twice", more=("--require", "service_markers"))
    again = ("--artifact", f"service_markers={A}/state_evidence.json")
    yield Row("a name twice", "release_pack", WRONG, "service_markers is given twice", more=again)
    other = ("--artifact", f"other={A}/service_markers.json")
    yield Row("a file twice", "release_pack", WRONG, "one file is given for service_markers and for other", more=other)
    link = ("--artifact", "other=link.json")
    yield Row("a file twice by a link", "release_pack", WRONG, "one file is given", more=link,
              before=lambda tree: (tree.root / "link.json").symlink_to(tree.path("service_markers.json")))  # fmt: skip
    duplicate = ("--artifact", "other=copy.json")
    yield Row("a copy of a file", "release_pack", RED, "holds the same bytes as service_markers", more=duplicate,
              before=lambda tree: shutil.copy(tree.path("service_markers.json"), tree.root / "copy.json"))  # fmt: skip
    yield Row("a red one beside", "release_pack", RED, "soak.red", more=("--artifact", f"soak={A}/soak.json"),
              before=write("soak.json", {"passed": False}))  # fmt: skip
    for word, words in {
        "service_markers": "has no value",
        "=x.json": "no name for an artifact",
        "a/b=x.json": "no name for an artifact",
        "a\nb=x.json": "no name for an artifact",
        "soak=": "is no path",
        "soak=a\0b": "is no path",
        "soak=" + "a" * 300: "too long",
    }.items():
        yield Row(f"artifact {word[:20]!r}", "release_pack", WRONG, words, more=("--artifact", word))
    own = ("--artifact", f"old={A}/release-evidence/release_evidence_pack.json")
    yield Row("its own output", "release_pack", WRONG, "both an artifact and the file to be written", more=own)
    yield Row("another release", "release_pack", RED, "pre_release_checklist.another_release", {"--release": "v0.7.2"})
    yield Row(
        "another profile", "release_pack", RED, "certification_pack.another_profile", {"--profile": "vendor_live"}
    )
    yield Row("a pack's id with a slash", "certification_pack", WRONG, "no name for a pack", {"--pack-id": "a/b"})
    pack = ("certification-pack", "--profile", "real_local")
    yield Row("an empty certification pack", pack, RED, "benchmark_slo_gate.missing")
    state = ("live-state-reconciliation", "--profile", "real_local", "--require", "state",
             "--artifact", f"state={A}/state_evidence.json")  # fmt: skip
    yield Row("state without reconciliation", state, RED, "reconciliation.missing")
    yield Row("what the pack names is gone", "release_pack", RED, "names benchmark_slo_gate, which is missing",
              before=delete(BENCHMARK))  # fmt: skip
    yield Row("what the pack names was edited", "release_pack", RED, "names benchmark_slo_gate, which",
              before=edit(BENCHMARK, put("facts.metrics.failure_rate", 0.5)))  # fmt: skip
    yield Row("external evidence was edited", "release_pack", RED, "names reconciliation, which was changed",
              before=edit("reconciliation_evidence.json", put("checks.0.name", "x")))  # fmt: skip


def release_without(name: str) -> tuple[str, ...]:
    given = {"service_markers": "service_markers.json", "certification_pack": PACK, "evidence_chain": CHAIN,
             "performance_certification": PERFORMANCE, "live_state_reconciliation": STATE,
             "pre_release_checklist": CHECKLIST}  # fmt: skip
    words = [w for key, path in given.items() if key != name for w in ("--artifact", f"{key}={A}/{path}")]
    return ("release-evidence-pack", "--release", "v0.7.1", "--profile", "real_local", *words)


def matrix_rows() -> Iterator[Row]:
    for name, (path, change, words) in {
        "a verdict": (REPORT, put("cases.0.verdict", "failed"), "its document says passed, the report failed"),
        "a case less": (REPORT, lambda d: d["cases"].pop(), "is not in the report"),
        "a case twice": (REPORT, lambda d: d["cases"].append(d["cases"][0]), "is reported twice"),
        "counts": (REPORT, put("counts.passed", 3), "the counts are not those of the cases"),
        "blockers": (REPORT, put("blockers", ["x"]), "beside the blocker x"),
        "matrix size": (REPORT, put("matrix_size", 9), "scope.reduced"),
        "matrix size 0": (REPORT, put("matrix_size", 0), "is malformed: matrix_size"),
        "simulated": (REPORT, put("run_mode", "mock_local"), "run_mode.simulated"),
        "no services": (REPORT, put("services", []), "services.unknown"),
        "fidelity": (REPORT, put("services.0.fidelity", "emulated"), "fidelity_emulated"),
        "passed text": (REPORT, put("passed", "true"), "is malformed: passed"),
        "schema": (REPORT, put("schema", "junit"), "is no certification report"),
        "no cases": (REPORT, put("cases", []), "nothing_passed"),
        "case failed": (BEHAVIOR, put("record.verdict", "failed"), "something else than its record"),
        "check failed": (BEHAVIOR, put("record.acts.0.checks.0.passed", False), "passed beside red checks"),
        "check as text": (BEHAVIOR, put("record.acts.0.checks.0.passed", "true"), "is malformed"),
        "no checks": (BEHAVIOR, put("record.acts", []), "passed without a single check"),
        "case blockers": (BEHAVIOR, put("blockers", ["x"]), "green beside blockers"),
        "another run": (BEHAVIOR, put("run_id", "r2"), "of another run"),
        "another case": (BEHAVIOR, put("case_id", "x"), "of another case"),
        "rows as text": (BEHAVIOR, put("record.rows", "1000"), "is malformed"),
        "rows negative": (BEHAVIOR, put("record.rows", -1), "is malformed: rows"),
    }.items():
        yield Row(f"matrix {name}", "matrix", RED, words, before=forge(path, change))
    for path in (REPORT, BEHAVIOR):
        yield Row(f"matrix edited {path}", "matrix", RED, "was edited", before=edit(path, put("generated_at", "x")))
    yield Row("matrix case gone", "matrix", RED, "is missing", before=delete(BEHAVIOR))
    yield Row("matrix report gone", "matrix", RED, "certification_report is missing", before=delete(REPORT))
    yield Row("matrix report no JSON", "matrix", RED, "not strict JSON", before=write(REPORT, b"{"))
    yield Row(
        "matrix stranger", "matrix", RED, "not_reported", before=write("matrix/x__behavior.json", {"passed": True})
    )
    yield Row("matrix no folder", "matrix", RED, "is missing", {"--artifact-dir": "nowhere"})
    yield Row("export without a report", "export", RED, "certification_report is missing", before=delete(REPORT))
    yield Row("export of no case", "export", RED, "names no case", before=edit(REPORT, put("cases", [])))


def index_rows() -> Iterator[Row]:
    yield Row("index of nothing", "index", RED, "files.nothing_indexed", {"--root": "empty"},
              before=lambda tree: (tree.root / "empty").mkdir())  # fmt: skip
    yield Row("index of no folder", "index", WRONG, "is no folder", {"--root": "nowhere"})
    yield Row("index of a file", "index", WRONG, "is no folder", {"--root": f"{A}/service_markers.json"})
    yield Row("a link that leaves", "index", RED, "away.json is a link that leaves the root",
              before=lambda tree: tree.path("away.json").symlink_to("/etc/hostname"))  # fmt: skip
    yield Row("a folder link that leaves", "index", RED, "away is a link that leaves the root",
              before=lambda tree: tree.path("away").symlink_to("/etc"))  # fmt: skip
    yield Row("a link to nowhere", "index", RED, "is a link that points nowhere",
              before=lambda tree: tree.path("dangling").symlink_to("nothing"))  # fmt: skip
    yield Row("a link to itself", "index", RED, "is a link that points nowhere",
              before=lambda tree: tree.path("loop").symlink_to("loop"))  # fmt: skip
    yield Row("a pipe", "index", RED, "pipe is no regular file", before=pipe("pipe"))
    yield Row("a name that is not UTF-8", "index", RED, "name that is not UTF-8",
              before=lambda tree: Path(os.fsdecode(os.fsencode(tree.path("")) + b"/\xff.txt")).touch())  # fmt: skip


def chain_rows() -> Iterator[Row]:
    entry = "evidence-chain/entries/000001.json"
    for name, (before, words) in {
        "first removed": (delete("evidence-chain/entries/000000.json"), "entry_0.removed"),
        "tail removed": (delete(entry), "entry_1.removed"),
        "swapped": (swap("evidence-chain/entries/000000.json", entry), "entry_0.changed"),
        "replaced": (copy("evidence-chain/entries/000000.json", entry), "entry_1.changed"),
        "repointed": (edit(entry, put("artifact_index", "0" * 64)), "entry_1.repointed"),
        "other release": (edit(entry, put("release", "v9.9.9")), "entry_1.repointed"),
        "other place": (edit(entry, put("index", 0)), "entry_1.changed"),
        "other past": (edit(entry, put("previous_root", "0" * 64)), "entry_1.unlinked"),
        "added": (copy(entry, "evidence-chain/entries/000002.json"), "entries/000002.json is not in"),
        "stranger": (write("evidence-chain/entries/note.txt", "x"), "entries/note.txt is not in"),
        "no JSON": (write(entry, b"{"), "entries/000001.json is not strict JSON"),
        "unknown field": (edit(entry, put("note", 1)), "entries/000001.json is malformed: note"),
        "index gone": (delete(CHAIN), "evidence_chain_index.json is missing"),
        "index edited": (edit(CHAIN, put("run_id", "x")), "index_edited"),
        "index of another kind": (copy(PERFORMANCE, CHAIN), "is no chain index of ours"),
        "entries and index cut": (cut_chain, "evidence_chain_index.json"),
        "tree changed": (write("service_markers.json", "x"), "service_markers.json was changed"),
        "tree's file gone": (delete("plan/live_certification_plan.md"), "live_certification_plan.md is missing"),
        "artifact index gone": (delete(INDEX), "artifact_index.missing"),
        "artifact index edited": (edit(INDEX, put("release", "v0.7.0")), "artifact_index.changed"),
        "twin edited": (write("evidence-chain/evidence_chain_index.md", "GO"), "does not say what"),
        "repeated": (repeat_entry, "is red: entry_2.repeated"),
    }.items():
        yield Row(f"chain {name}", "verify", RED, words, before=both(second_entry, before))
    yield Row("chain truncated and rewritten", "verify", RED, "chain.truncated", before=second_entry,
              more=("--pin", f"3:{'0' * 64}"))  # fmt: skip
    yield Row("chain forked", "verify", RED, "chain.forked", before=second_entry, more=("--pin", f"2:{'0' * 64}"))
    for pin in ("", "x", "0:" + "0" * 64, "1:abc", "1:" + "A" * 64, "{}", "[1]", "1:" + "0" * 64 + ":2"):
        yield Row(f"pin {pin[:6]!r}", "verify", WRONG, "is no pin", more=("--pin", pin))
    yield Row("pin from no file", "verify", WRONG, "is missing", more=("--pin", "@nowhere"))
    yield Row("no chain", "verify", UNVERIFIABLE, "is no folder", {"--chain-dir": "nowhere"})
    yield Row("empty chain", "verify", UNVERIFIABLE, "holds no entry", {"--chain-dir": "empty"},
              before=lambda tree: (tree.root / "empty").mkdir())  # fmt: skip
    yield Row("chain of a red index", "chain", RED, "artifact_index is red", before=red_index)
    yield Row("chain of another release's index", "chain", RED, "artifact_index.another_release",
              {"--release": "v0.7.2"})  # fmt: skip
    yield Row("chain of no index", "chain", RED, "artifact_index.missing", {"--artifact-index": "nowhere.json"})
    yield Row("chain of another kind", "chain", RED, "artifact_index.another_kind",
              {"--artifact-index": f"{A}/{PERFORMANCE}"})  # fmt: skip
    yield Row("chain of an edited index", "chain", RED, "artifact_index.edited",
              before=edit(INDEX, put("run_id", "x")))  # fmt: skip
    yield Row("chain of a tree that changed", "chain", RED, "state_evidence.json was changed",
              before=write("state_evidence.json", "x"))  # fmt: skip
    yield Row("chain upon a broken one", "chain", RED, "entry_0.changed",
              before=both(edit("evidence-chain/entries/000000.json", put("files", 1)), reindex))  # fmt: skip
    yield Row("wrong previous entry", "chain", WRONG, "no entry of this chain", more=("--previous-entry", "0" * 64))
    yield Row("previous entry is no file", "chain", WRONG, "is missing", more=("--previous-entry", "nowhere"))
    yield Row("previous entry of an empty chain", "chain", WRONG, "is empty", {"--chain-dir": "fresh"},
              more=("--previous-entry", "0" * 64))  # fmt: skip
    yield Row("an old index again", "chain", RED, "in the chain already, as entry 0", before=replay)


def write(name: str, data: object) -> Callable[..., object]:
    return lambda tree: tree.write(name, data)


def delete(name: str) -> Callable[..., object]:
    return lambda tree: tree.path(name).unlink()


def copy(source: str, target: str) -> Callable[..., object]:
    return lambda tree: shutil.copy(tree.path(source), tree.path(target))


def swap(one: str, two: str) -> Callable[..., object]:
    def act(tree) -> None:  # type: ignore[no-untyped-def]
        first, second = tree.path(one).read_bytes(), tree.path(two).read_bytes()
        tree.write(one, second)
        tree.write(two, first)

    return act


def forge(name: str, change: Callable[..., object]) -> Callable[..., object]:
    """Edit a document and make its digest anew, as somebody does who knows the form."""

    def both_at_once(data: dict) -> None:  # type: ignore[type-arg]
        change(data)
        data["content_sha256"] = content_sha256(data)

    return lambda tree: tree.edit(name, both_at_once)


def edit(name: str, change: Callable[..., object]) -> Callable[..., object]:
    return lambda tree: tree.edit(name, change)


def folder(name: str) -> Callable[..., object]:
    return both(delete(name), lambda tree: tree.path(name).mkdir())


def pipe(name: str) -> Callable[..., object]:
    def act(tree) -> None:  # type: ignore[no-untyped-def]
        tree.path(name).unlink(missing_ok=True)
        os.mkfifo(tree.path(name))

    return act


def both(*steps: Callable[..., object]) -> Callable[..., object]:
    return lambda tree: [step(tree) for step in steps]


def put(place: str, value: object) -> Callable[..., object]:
    """Set a value at a place such as `facts.exhibits.0.path`."""

    def change(data) -> None:  # type: ignore[no-untyped-def]
        *way, last = place.split(".")
        for name in way:
            data = data[int(name)] if isinstance(data, list) else data[name]
        data[last] = value

    return change


def gone(name: str) -> Callable[..., object]:
    return lambda data: data.pop(name)


def reindex(tree) -> None:  # type: ignore[no-untyped-def]
    result = tree.ops("artifact-index", "--root", A, "--release", "v0.7.1", "--output-dir", f"{A}/artifact-index")
    assert result.status == 0, result.text


def second_entry(tree) -> None:  # type: ignore[no-untyped-def]
    tree.write("note.txt", "more")
    reindex(tree)
    chain = ("evidence-chain", "--artifact-index", f"{A}/{INDEX}", "--chain-dir", f"{A}/evidence-chain")
    assert tree.ops(*chain, "--release", "v0.7.1").status == 0


def cut_chain(tree) -> None:  # type: ignore[no-untyped-def]
    tree.path("evidence-chain/entries/000001.json").unlink()
    tree.edit(CHAIN, lambda data: data["facts"]["entries"].pop())


def repeat_entry(tree) -> None:  # type: ignore[no-untyped-def]
    """A third entry that links well, and repeats the second one's index; all digests are made to fit."""
    from pytest_dpone.core.gates.chain import ChainedEntry, ChainFacts
    from pytest_dpone.core.gates.documents import CHAIN as KIND
    from pytest_dpone.core.gates.documents import compose
    from pytest_dpone.core.gates.merkle import leaf_hash, roots
    from pytest_dpone.run.gate_files import new_stamp, publish

    data = tree.json("evidence-chain/entries/000001.json")
    old = [ChainedEntry(**row) for row in tree.json(CHAIN)["facts"]["entries"]]
    leaves = [bytes.fromhex(row.leaf) for row in old]
    tree.write("evidence-chain/entries/000002.json", {**data, "index": 2, "previous_root": roots(leaves)[-1]})
    leaf = leaf_hash(tree.path("evidence-chain/entries/000002.json").read_bytes())
    new = ChainedEntry(index=2, release="v0.7.1", leaf=leaf.hex(), artifact_index=data["artifact_index"])
    facts = ChainFacts(release="v0.7.1", root=roots([*leaves, leaf])[-1], entries=(*old, new))
    document = compose(KIND, facts, new_stamp(run_id="x", release="v0.7.1"))
    publish(tree.path("evidence-chain"), KIND, document)


def red_index(tree) -> None:  # type: ignore[no-untyped-def]
    tree.path("away").symlink_to("/etc")
    words = ("artifact-index", "--root", A, "--release", "v0.7.1", "--output-dir", f"{A}/artifact-index")
    assert tree.ops(*words).status == 1


def replay(tree) -> None:  # type: ignore[no-untyped-def]
    old = tree.path(INDEX).read_bytes()
    second_entry(tree)
    tree.path("note.txt").unlink()
    tree.write(INDEX, old)


ROWS = list(rows())


def words_of(row: Row, commands: dict[str, tuple[str, ...]]) -> list[str]:
    if not isinstance(row.command, str):
        return [*row.command, *row.more]
    words = list(commands[row.command])
    for flag, value in row.flags.items():
        place = words.index(flag)
        words[place : place + 2] = [] if value is None else [flag, value]
    return [*words, *row.more]


def test_there_are_rows_enough_and_each_has_its_name() -> None:
    assert len(ROWS) > 350
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.words and row.status in (RED, UNVERIFIABLE, WRONG) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row.name.encode("unicode_escape").decode() for row in ROWS])
def test_it_does_not_pass(row: Row, ops_argv: dict[str, tuple[str, ...]], tree) -> None:  # type: ignore[no-untyped-def]
    if row.before is not None:
        row.before(tree)
    words = words_of(row, ops_argv)
    result = tree.ops(*words)
    assert (result.status, row.words in result.text) == (row.status, True), result.text
    assert "Traceback" not in result.text
    (told,) = [line for line in result.text.splitlines() if row.words in line][:1]
    assert len(told) < 700
    output = words[words.index("--output-dir") + 1] if "--output-dir" in words else ""
    if row.status == WRONG and "usage:" not in result.err and "both an artifact" not in result.err:
        # What an earlier call left there was green.
        assert not stale(output, words[0]), f"{output} still holds a green document"
    elif row.status == RED and words[0] != "evidence-chain" and output and Path(output).is_dir():
        assert not stale(output, words[0])


def stale(output: str, command: str) -> bool:
    """If the folder still says that the gate is green."""
    names = {
        "certification-pack": "connector_certification_pack",
        "integration-matrix-report": "integration_matrix_report",
        "metrics-export": "runtime_metrics",
    }
    name = names.get(command, command.replace("-", "_"))
    try:
        return json.loads((Path(output) / f"{name}.json").read_text())["passed"] is True
    except (OSError, ValueError):
        return False
