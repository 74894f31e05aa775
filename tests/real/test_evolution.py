"""The act `evolve` on real services: movers that keep their promise about a wider column pass, on every route."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
import pytest

from pytest_dpone.core.dataset.evolved import WIDENED
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import ActRecord, Case, Evolution, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Job, RunFacts, ServiceInfo, Support
from pytest_dpone.engines.native import Extract, NativeEngine, Seams, Sink, Source
from pytest_dpone.errors import EngineFailed
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.evolve import ROUTES
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.services.catalog import Evolving, open_catalog
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

REGISTRY = default_registry()
NAMES = ("postgres", "clickhouse", "minio", "kafka", "schema_registry")
HERE = [route for route in ROUTES if "mssql" not in route]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    settings = StackSettings(run_id=f"test-{secrets.token_hex(4)}", providers=dict.fromkeys(NAMES, "embedded"))
    with Stack.launch(settings) as stack:
        yield stack


class Promising:
    """The native engine with another promise about a wider column, and what it takes to keep it."""

    name = "native"

    def __init__(self, promise: Literal["follows", "freezes"], seams: Seams) -> None:
        self._promise = promise
        self._inner = NativeEngine(seams)

    def supports(self, case: Case) -> Support:
        return self._inner.supports(case).model_copy(update={"evolution": {Evolution.WIDEN: self._promise}})

    def run(self, job: Job) -> RunFacts:
        return self._inner.run(job)


class OldType:
    """A source whose wider column is read by its old type; a value that is none of that type is an error."""

    def __init__(self, job: Job, inner: Source) -> None:
        del job
        self._inner = inner

    @property
    def schema(self) -> pa.Schema:
        schema = self._inner.schema
        place = schema.get_field_index(WIDENED.name)
        return schema if place < 0 else schema.set(place, schema.field(place).with_type(pa.int32()))

    def read(self, extract: Extract) -> Iterator[pa.RecordBatch]:
        for batch in self._inner.read(extract):
            try:
                yield batch.cast(self.schema)
            except pa.ArrowInvalid as error:
                raise EngineFailed(str(error), hint="the column is frozen") from None

    def close(self) -> None:
        self._inner.close()


def widening(service: ServiceInfo) -> Seams:
    """Seams by which the sink's column becomes wide when the source's has."""

    def wrapped(job: Job, inner: Sink) -> Sink:
        prepare = inner.prepare

        def widened(schema: pa.Schema) -> bool:
            try:
                return prepare(schema)
            except EngineFailed:
                catalog = open_catalog(service, bucket="unused")
                assert isinstance(catalog, Evolving)
                catalog.widen_column(job.sink.namespace, job.sink.table, WIDENED)
                catalog.disconnect()
                return prepare(schema)

        inner.prepare = widened  # type: ignore[method-assign]
        return inner

    return Seams(sink=wrapped)


def evolved(stack: Stack, route: tuple[str, str], engine: Promising) -> ActRecord:
    case = Case(*route, Strategy.INCREMENTAL_MERGE)
    assert case in build_matrix(REGISTRY).planned
    settings = RunSettings(run_id=f"test-{secrets.token_hex(4)}", rows=40, crash="off")
    record = attempt(case, engine=engine, registry=REGISTRY, services=lambda: stack, settings=settings)
    assert record.verdict is Verdict.PASSED, record.detail
    return next(act for act in record.acts if act.name == "evolve")


@pytest.mark.parametrize("route", HERE, ids="_to_".join)
def test_a_mover_that_freezes_takes_what_fits_and_refuses_the_rest(stack: Stack, route: tuple[str, str]) -> None:
    act = evolved(stack, route, Promising("freezes", Seams(source=OldType)))
    assert [check.name for check in act.checks] == ["evolve.widen.columns", "evolve.widen.rows", "evolve.widen"]
    assert act.rows > 200


@pytest.mark.parametrize("route", [route for route in HERE if route[1] != "kafka"], ids="_to_".join)
def test_a_mover_that_follows_has_the_wide_values(stack: Stack, route: tuple[str, str]) -> None:
    service = stack.ensure([route[1]])[route[1]]
    act = evolved(stack, route, Promising("follows", widening(service)))
    assert [check.name for check in act.checks] == ["evolve.widen.columns", "evolve.widen.rows"]
