"""Any JSON whatever as input: a status, never a traceback, and green only if every required fact was there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_dpone.cli.main import main

A = "test_artifacts/live_certification"
NAMES = ("throughput_rows_per_second", "duration_seconds", "failure_rate", "a")

numbers = st.one_of(
    st.integers(-3, 200000), st.floats(allow_nan=True), st.sampled_from([0, 1, 40, 10**400, 1e300, math.inf, math.nan])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
likely = st.dictionaries(st.sampled_from(NAMES), st.one_of(numbers, scalars), max_size=4)
metrics = st.one_of(likely, anything)
row = st.fixed_dictionaries(
    {},
    optional={
        "value": numbers,
        "direction": st.sampled_from(["higher", "lower", "Higher", None]),
        "max_regression_ratio": numbers,
        "note": scalars,
    },
)
baselines = st.one_of(st.dictionaries(st.sampled_from(NAMES), st.one_of(row, anything), max_size=3), anything)
bounds = st.fixed_dictionaries({}, optional={"min": numbers, "max": numbers, "mx": numbers})
objectives = st.one_of(st.dictionaries(st.sampled_from(NAMES), st.one_of(bounds, anything), max_size=3), anything)

own_tree = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(*argv: str) -> tuple[int, str]:
    """Run a command in this process; a traceback is an error of the test."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(["ops", *argv])
        except SystemExit as end:
            status = int(end.code or 0)
    assert status in (0, 1, 2, 3, 4)
    assert out.getvalue() or err.getvalue()
    assert "Traceback" not in err.getvalue()
    return status, out.getvalue()


def is_measured(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


@own_tree
@given(metrics, baselines, objectives)
def test_benchmark_slo_gate(measured: object, baseline: object, objective: object) -> None:
    status, out = run(
        "benchmark-slo-gate", "--format=json", "--metrics-json", json.dumps(measured),
        "--baseline-json", json.dumps(baseline), "--objectives-json", json.dumps(objective),
    )  # fmt: skip
    if status != 0:
        return
    assert json.loads(out)["passed"] is True
    assert isinstance(measured, dict)
    assert isinstance(baseline, dict)
    assert isinstance(objective, dict)
    assert baseline
    assert objective
    for name, entry in baseline.items():
        assert is_measured(measured[name])
        ratio = entry.get("max_regression_ratio", 0)
        assert 0 <= ratio < 1
        if entry["direction"] == "higher":
            assert measured[name] >= entry["value"] * (1 - ratio)
        else:
            assert entry["direction"] == "lower"
            assert measured[name] <= entry["value"] * (1 + ratio)
    for name, entry in objective.items():
        assert is_measured(measured[name])
        assert set(entry) <= {"min", "max"}
        assert entry
        assert entry.get("min", 0) <= measured[name] <= entry.get("max", math.inf)


@own_tree
@given(
    st.fixed_dictionaries({name: st.integers(0, 100) for name in NAMES[:3]} | {"failure_rate": st.integers(0, 1)}),
    st.sampled_from(["higher", "lower"]),
    st.integers(1, 100),
    st.integers(0, 100),
)
def test_benchmark_slo_gate_is_right_on_good_input(measured: dict, direction: str, value: int, bound: int) -> None:  # type: ignore[type-arg]
    """The other way round: what holds is green, so that the first test is not green for want of a green."""
    status, _ = run(
        "benchmark-slo-gate", "--metrics-json", json.dumps(measured),
        "--baseline-json", json.dumps({"duration_seconds": {"value": value, "direction": direction}}),
        "--objectives-json", json.dumps({"throughput_rows_per_second": {"max": bound}}),
    )  # fmt: skip
    better = measured["duration_seconds"] >= value if direction == "higher" else measured["duration_seconds"] <= value
    assert status == (0 if better and measured["throughput_rows_per_second"] <= bound else 1)


@own_tree
@given(metrics, metrics, metrics)
def test_performance_certification(measured: object, minimum: object, maximum: object) -> None:
    status, out = run(
        "performance-certification", "--profile=real_local", "--row-count=5", "--format=json",
        "--metrics-json", json.dumps(measured), "--minimum-json", json.dumps(minimum),
        "--maximum-json", json.dumps(maximum),
    )  # fmt: skip
    if status != 0:
        return
    assert json.loads(out)["passed"] is True
    assert isinstance(measured, dict)
    assert isinstance(minimum, dict)
    assert isinstance(maximum, dict)
    assert minimum
    assert maximum
    for name, bound in minimum.items():
        assert is_measured(measured[name])
        assert measured[name] >= bound
    for name, bound in maximum.items():
        assert is_measured(measured[name])
        assert measured[name] <= bound


external = st.fixed_dictionaries(
    {},
    optional={
        "passed": st.one_of(st.just(True), scalars),
        "cases": st.one_of(st.integers(-1, 3), anything),
        "counts": st.one_of(st.fixed_dictionaries({"passed": scalars}, optional={"failed": scalars}), anything),
        "blockers": st.one_of(st.just([]), anything),
        "schema": st.one_of(st.just("pytest-dpone/state/v1"), scalars),
        "release": scalars,
    },
)


@own_tree
@given(st.one_of(external, anything))
def test_external_evidence(tmp_path: Path, data: object) -> None:
    state, other = tmp_path / "state.json", tmp_path / "other.json"
    state.write_text(json.dumps(data))
    other.write_text('{"passed": true, "checks": 3}')
    status, _ = run(
        "live-state-reconciliation", "--profile=real_local",
        f"--artifact=state={state}", f"--artifact=reconciliation={other}",
    )  # fmt: skip
    if status == 0:
        assert isinstance(data, dict)
        assert data["passed"] is True
        assert not data.get("blockers")
        counts = data.get("counts")
        looked = counts if isinstance(counts, dict) else data
        assert any(looked.get(name) not in (None, 0, [], {}, False) for name in ("passed", "cases"))


places = st.lists(st.one_of(st.integers(0, 8), st.text(max_size=3)), min_size=1, max_size=6)


@pytest.mark.parametrize(
    "name",
    [
        "performance-certification/performance_certification.json",
        "pre-release/pre_release_checklist.json",
        "certification-pack/connector_certification_pack.json",
        "live-state-reconciliation/live_state_reconciliation.json",
        "evidence-chain/evidence_chain_index.json",
        "evidence-chain/entries/000000.json",
        "artifact-index/artifact_index.json",
        "matrix/certification_report.json",
        "matrix/postgres_to_postgres__full_refresh__behavior.json",
        "service_markers.json",
        "state_evidence.json",
    ],
)
@settings(own_tree, max_examples=own_tree.max_examples // 4)  # for each of many documents
@given(place=places, value=anything)
def test_a_changed_document_is_never_green(name: str, place: list[int | str], value: object, ops_argv, tree) -> None:  # type: ignore[no-untyped-def]
    before = tree.path(name).read_bytes()
    document = json.loads(before)
    if not _replace(document, place, value) or json.dumps(document) == json.dumps(json.loads(before)):
        return
    tree.path(name).write_text(json.dumps(document))
    statuses = {run(*ops_argv[gate])[0] for gate in ("release_pack", "verify")}
    tree.path(name).write_bytes(before)
    assert statuses & {1, 3}


def _replace(document: object, place: list[int | str], value: object) -> bool:
    """Walk down by numbers (the n-th member) as far as it goes, and put `value` there."""
    holder: object = document
    setter: Callable[[object], None] | None = None
    for step in place:
        if isinstance(holder, dict) and holder:
            key = list(holder)[step % len(holder)] if isinstance(step, int) else step
            setter = _setter(holder, key)
            holder = holder.get(key)
        elif isinstance(holder, list) and holder and isinstance(step, int):
            setter = _setter(holder, step % len(holder))
            holder = holder[step % len(holder)]
        else:
            break
    if setter is None:
        return False
    setter(value)
    return True


def _setter(holder, key) -> Callable[[object], None]:  # type: ignore[no-untyped-def]
    return lambda value: holder.__setitem__(key, value)
