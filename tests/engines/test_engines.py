from __future__ import annotations

import io
from typing import Any

import pytest

from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Endpoint, Job
from pytest_dpone.engines import load_engine
from pytest_dpone.engines.mutants import MUTANTS
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.errors import EngineFailed, UsageError

NATIVE = load_engine("native")


def test_unknown_engine_names_the_near_one() -> None:
    with pytest.raises(UsageError, match="there is no engine 'nativ'") as caught:
        load_engine("nativ")
    assert caught.value.hint == "did you mean native?"


def test_what_is_not_supported_of_the_planned_matrix() -> None:
    planned = build_matrix(default_registry()).planned
    here = {"postgres", "clickhouse", "minio"}
    left = [
        case.case_id
        for case in planned
        if {case.source, case.sink} <= here and NATIVE.supports(case).status != "supported"
    ]
    assert left == []


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("postgres", "minio", Strategy.SCD2), "the native engine has no scd2 into minio"),
        (Case("clickhouse", "postgres", Strategy.XMIN), "the native engine has no xmin from clickhouse"),
    ],
)
def test_the_rest_is_not_implemented_yet(case: Case, reason: str) -> None:
    support = NATIVE.supports(case)
    assert (support.status, support.reason) == ("not implemented yet", reason)


def test_an_unsupported_job_is_refused() -> None:
    end = Endpoint(family="postgres", url="postgresql://h/d", namespace="n", table="t")
    s3 = Endpoint(family="minio", url="s3://k:s@h/b", namespace="n", table="t")
    with pytest.raises(UsageError, match="has no scd2 into minio"):
        NATIVE.run(job_of(Strategy.SCD2, end, s3))


def job_of(strategy: Strategy, source: Endpoint, sink: Endpoint) -> Job:
    return Job(
        case_id="x", run_id="r", strategy=strategy, source=source, sink=sink, key=("id",),
        cursor="c", partition="p", state_table="s", batch_rows=1,
    )  # fmt: skip


def test_the_sink_is_opened_before_the_source() -> None:
    """Of two runs at once the second waits at the sink; had it looked at the source before, it would see too little."""
    opened: list[str] = []

    class Watched(NativeEngine):
        def _open_sink(self, job: Job) -> Any:
            opened.append("sink")
            return io.BytesIO()

        def _open_source(self, job: Job) -> Any:
            opened.append("source")
            raise EngineFailed("that is enough", hint="")

    end = Endpoint(family="postgres", url="postgresql://h/d", namespace="n", table="t")
    with pytest.raises(EngineFailed, match="that is enough"):
        Watched().run(job_of(Strategy.INCREMENTAL_APPEND, end, end))
    assert opened == ["sink", "source"]


def test_mutants_are_fit_for_use() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names)) >= 14
    registry = default_registry()
    registry.staging = "minio"
    planned = {case.case_id: case for case in build_matrix(registry).planned}
    for mutant in MUTANTS:
        assert mutant.killed_by, mutant.name
        assert mutant.breaks, mutant.name
        engine = mutant.build()
        assert engine.supports(planned[mutant.case_id]).status == "supported"
        assert mutant.build() is not engine
