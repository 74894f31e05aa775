"""Where a case plays: its catalogs, its names on both services, its dataset, and how a table is judged."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from ..core.dataset import Dataset, dataset_of
from ..core.diff import compare, visible
from ..core.kinds import ID, Field, TableSchema
from ..core.model import ActName, Case, Check, DiffReport, Strategy
from ..core.oracle import CURRENT, Expectation, expect
from ..core.registry import Family, Registry
from ..core.wire import SUPPORTED, Job, ServiceInfo, Support, scrub, slot_name
from ..errors import UsageError
from ..services import journal
from ..services.catalog import Catalog, Fingerprint, SinkCatalog, Transactions, open_catalog, with_registry
from ..services.journal import Made
from .cuts import cut
from .settings import RunSettings
from .staging import CONTAINED, Staging

TABLE = "orders"
STATE = "dpone_state"
JSON_EVENTS = (Strategy.FULL_REFRESH, Strategy.REPLACE, Strategy.PARTITION_REPLACE, Strategy.BACKFILL)
"""Strategies whose cases have JSON in their topics; the others have Avro, by a registry."""


@dataclass(slots=True)
class Stage:
    """Both ends of one case. `source` and `sink` are the harness's hands; an engine never sees them."""

    case: Case
    settings: RunSettings
    dataset: Dataset
    services: Mapping[str, ServiceInfo]
    source: Catalog
    sink: SinkCatalog
    source_space: str
    sink_space: str
    bucket: str
    """Where S3 keeps both sides of the case."""
    sink_swaps: bool
    """If the sink's family can replace a table's content as a whole (DESIGN §4)."""
    sink_folds: bool
    """If the sink keeps events, of which the last one of a key is its row."""
    hands: Mapping[str, Hands]
    """Family → how its catalog is opened, which a thread of its own needs to do again."""
    staging: Staging | None = None
    """Where the rows are staged on their way; None if they go directly."""
    table: str = TABLE
    support: Support = SUPPORTED
    """What the engine says of the case."""
    intervals: pa.Table | None = None
    """scd2: number, revision, interval and hash of the versions that the last act has left."""
    judged: dict[int, int] = field(default_factory=dict)
    """Of a sink that keeps events: partition → how far its events were judged."""
    claims: dict[ActName, str] = field(default_factory=dict)
    """State that the engine said it left, by act."""

    def job(
        self,
        act: ActName,
        *,
        mode: str = "load",
        schema: TableSchema | None = None,
        **fields: object,
    ) -> Job:
        """What the engine is asked to do in `act`; `fields` are further fields of the job."""
        schema = schema or self.dataset.schema
        return Job.model_validate(
            {
                "case_id": self.case.case_id,
                "run_id": self.settings.run_id,
                "strategy": self.case.strategy,
                "mode": mode,
                "source": self.source.endpoint(self.source_space, self.table),
                "sink": self.sink.endpoint(self.sink_space, self.table),
                "staging": self.staging and self.staging.endpoint(self.table),
                "key": schema.key,
                "cursor": schema.cursor,
                "partition": schema.partition,
                "slot": slot_name(self.source_space, self.table) if self.case.strategy is Strategy.CDC else "",
                "state_table": self.state_table,
                "batch_rows": self.settings.batch_rows,
                **cut(self.case.strategy, act),
                **fields,
            }
        )

    @property
    def state_table(self) -> str:
        """Where the engine keeps the state of the table."""
        return STATE if self.table == TABLE else f"{STATE}_{self.table}"

    def beside(self, table: str, settings: RunSettings | None = None) -> Stage:
        """The same stage for another table, with a state of its own; with `settings` its rows are a new dataset's."""
        if settings is None:
            return replace(self, table=table, claims={}, intervals=None, judged={})
        dataset = dataset_of(
            settings.dataset_spec(),
            source=self.case.source,
            sink=self.case.sink,
            contracts=self.dataset.contracts,
            key=self.dataset.key,
        )
        return replace(self, table=table, settings=settings, dataset=dataset, claims={}, intervals=None, judged={})

    def expect(self, act: ActName) -> Expectation:
        """What the sink must hold after `act`."""
        return expect(self.dataset, self.case.strategy, act, folded=self.sink_folds)

    def compare_source(self, expectation: Expectation) -> DiffReport:
        """Read the source table back and compare."""
        return self._compare(self.source, self.source_space, expectation)

    def compare_sink(self, expectation: Expectation) -> DiffReport:
        """Read the sink table back and compare."""
        if CURRENT not in expectation.fields:
            return self._compare(self.sink, self.sink_space, expectation)
        from . import history

        flag = history.current(self)
        rows = self._read(self.sink, self.sink_space, (*expectation.fields[:-1], flag), expectation)
        return _compared(expectation, history.named(rows, flag))

    def _compare(self, catalog: SinkCatalog, space: str, expectation: Expectation) -> DiffReport:
        return _compared(expectation, self._read(catalog, space, expectation.fields, expectation))

    def _read(
        self, catalog: SinkCatalog, space: str, fields: Sequence[Field], expectation: Expectation
    ) -> Iterator[pa.RecordBatch]:
        return catalog.read(space, self.table, fields, order_by=expectation.order, batch_rows=self.settings.batch_rows)

    def check_schema(self) -> Check:
        """The sink has the expected columns, with types that the contracts accept, and none but the engine's own."""
        found = self.sink.columns(self.sink_space, self.table)
        wrong = [
            f"{visible(f.name)} is {found[f.name]}, not accepted for {f.kind}"
            if f.name in found
            else f"{visible(f.name)} is missing"
            for f in self.dataset.schema.fields
            if f.name not in found or not self.dataset.contracts.accepts(self.case.sink, f.kind, found[f.name])
        ]
        expected = {f.name for f in self.dataset.schema.fields}
        if self.case.strategy is Strategy.SCD2:
            wrong += [f"{visible(name)} is missing" for name in self.support.history.names if name not in found]
            expected.update(self.support.history.names)
        wrong += [f"{visible(name)} is not expected" for name in self.unexpected(found, expected)]
        detail = "; ".join(wrong[:8]) + (f"; … {len(wrong)} in all" if len(wrong) > 8 else "")
        return Check(name="schema", passed=not wrong, expected=len(expected), actual=len(found), detail=detail)

    def unexpected(self, found: Iterable[str], expected: Collection[str]) -> list[str]:
        """Of the columns `found` those that are neither expected nor the engine's own."""
        own = self.support.own_columns
        return [n for n in found if n not in expected and not any(fnmatchcase(n, glob) for glob in own)]

    def fingerprint_of(self, expectation: Expectation, column: str = "") -> Fingerprint:
        """What a polling reader must see when the sink holds exactly `expectation`.

        The sum is that of `column`, by default that of the rows' numbers.
        """
        rows = total = 0
        for batch in expectation.batches():
            rows += batch.num_rows
            total += pc.sum(batch.column(column or ID)).as_py()
        return Fingerprint(rows, total)

    def unchanged_versions(self, versions: pa.Table) -> pa.Table:
        """Of (number, version) pairs those whose row is in S0 and S1 with the same content."""
        same = [
            new.column(ID).filter(
                pc.fill_null(pc.equal(old.column("revision").take(_positions(new, old)), new.column("revision")), False)
            )
            for old, new in self.dataset.slices()
        ]
        return versions.filter(pc.is_in(versions.column(0), pa.chunked_array(same, pa.int64())))

    def transactions(self) -> Transactions:
        """The source's hands for what only a database with transactions can do; raises `UsageError` if it has none."""
        if not isinstance(self.source, Transactions):
            raise UsageError(
                f"{self.case.source} can't be a source of {self.case.strategy}: its catalog has no transactions",
                hint="exclude the strategy in the family's registration, or give its catalog hold, rekey and truncate",
            )
        return self.source

    def inner_sink(self) -> Catalog:
        """The sink's hands with the looks behind the scenes; raises `UsageError` if its catalog has none."""
        if not isinstance(self.sink, Catalog):
            raise UsageError(f"the catalog of {self.case.sink} shows what it must, and no more", hint="see `Catalog`")
        return self.sink

    def scrub(self, text: str) -> str:
        """`text` without any secret of this case's services."""
        return scrub(text, [info.url for info in self.services.values()])


def _compared(expectation: Expectation, rows: Iterator[pa.RecordBatch]) -> DiffReport:
    told = expectation
    return compare(told.batches(), rows, fields=told.fields, identity=told.identity, order=told.order)


def _positions(new: pa.RecordBatch, old: pa.RecordBatch) -> pa.Array:
    return pc.index_in(new.column(ID), old.column(ID))


@dataclass(frozen=True, slots=True)
class Hands:
    """How the harness's hands on one family are opened, and the service that is behind it, if there is one."""

    open: Callable[[], SinkCatalog]
    service: ServiceInfo | None


def _hands(
    family: Family, registry: Registry, services: Mapping[str, ServiceInfo], *, folder: Path, bucket: str
) -> Hands:
    """The family's own catalog, or that of the first service that it needs."""
    if own := registry.catalogs.get(family.name):
        return Hands(lambda: cast("SinkCatalog", own(folder)), None)
    if not family.services:
        raise UsageError(
            f"the harness can't seed or read the family {family.name!r}: it has no service and no catalog",
            hint="register it with `registry.add(family, contracts=…, catalog=…)`",
        )
    info = services[family.services[0]]
    return Hands(lambda: open_catalog(info, bucket=bucket), info)


def _staging(hands: Hands, sink: Hands, space: str) -> Staging:
    catalog = hands.open()
    if not isinstance(catalog, Catalog):
        raise UsageError(f"the catalog of {catalog.family!r} does not show what is staged", hint="see `Catalog`")
    contained = sink.service is not None and sink.service.record.provider in CONTAINED
    return Staging(catalog, space, inside=hands.service.inside if hands.service and contained else "")


def _as_source(catalog: SinkCatalog) -> Catalog:
    if not isinstance(catalog, Catalog):
        raise UsageError(
            f"the catalog of {catalog.family!r} can't seed a source: it is a sink's only",
            hint="register the family with source=False, or give its catalog the methods of `Catalog`",
        )
    return catalog


@contextmanager
def stage_for(
    case: Case,
    *,
    registry: Registry,
    services: Mapping[str, ServiceInfo],
    settings: RunSettings,
) -> Iterator[Stage]:
    """Open both catalogs, with a namespace each; disconnect at the end. `tear_down` removes the namespaces."""
    from ..core.contracts import Contracts, default_contracts

    services = services if case.strategy in JSON_EVENTS else with_registry(services)
    token = f"dpone_{settings.run_id.replace('-', '_')}_{secrets.token_hex(4)}"
    bucket = token.replace("_", "-")
    shipped = default_contracts()
    blind = {family.name for family in registry.families.values() if family.case_blind}
    padded = {family.name for family in registry.families.values() if family.space_blind}
    contracts = Contracts(
        (*shipped.rows, *registry.contracts), shipped.case_blind | blind, shipped.space_blind | padded
    )
    with ExitStack() as opened:
        folder = opened.enter_context(_folder(settings)) if registry.catalogs else Path()
        from_, to, *way = (
            _hands(registry.families[family], registry, services, folder=folder, bucket=bucket)
            for family in (case.source, case.sink, *filter(None, (case.via,)))
        )
        source = _as_source(from_.open())
        opened.callback(source.disconnect)
        sink = to.open()
        opened.callback(sink.disconnect)
        staging = _staging(way[0], to, f"{token}_way") if way else None
        if staging is not None:
            opened.callback(staging.catalog.disconnect)
        stage = Stage(
            case=case,
            settings=settings,
            dataset=dataset_of(
                settings.dataset_spec(),
                source=case.source,
                sink=case.sink,
                contracts=contracts,
                key=registry.key_form(case),
            ),
            services=services,
            source=source,
            sink=sink,
            source_space=f"{token}_src",
            sink_space=f"{token}_dst",
            bucket=bucket,
            sink_swaps=registry.families[case.sink].swaps,
            sink_folds=registry.families[case.sink].folds,
            hands={case.source: from_, case.sink: to, **({case.via: way[0]} if way else {})},
            staging=staging,
        )
        for made in _outliving(stage):
            journal.note(settings.run_id, made)
        yield stage


@contextmanager
def _folder(settings: RunSettings) -> Iterator[Path]:
    """A folder for the files of families that have no service; it stays if something is to be kept."""
    folder = Path(mkdtemp(prefix=f"pytest-dpone-{settings.run_id}-"))
    try:
        yield folder
    finally:
        if settings.keep == "never":
            rmtree(folder, ignore_errors=True)


def tear_down(stage: Stage) -> list[str]:
    """Remove both namespaces; returns what could not be removed, as texts without secrets.

    The sink's goes first: its columns may be of types that the source's namespace has.
    """
    problems = []
    way = [(stage.staging.catalog, stage.staging.space)] if stage.staging else []
    for catalog, space in (*way, (stage.sink, stage.sink_space), (stage.source, stage.source_space)):
        try:
            catalog.close(space)
        except Exception as error:
            problems.append(stage.scrub(f"{space}: {type(error).__name__}: {error}"))
    for made in _outliving(stage) if not problems else ():
        journal.forget(stage.settings.run_id, made)
    return problems


def _outliving(stage: Stage) -> list[Made]:
    """The case's namespaces on servers that are there after the run, or may be kept, in the order to remove them."""
    way = [(stage.case.via, stage.staging.space)] if stage.staging else []
    sides = (*way, (stage.case.sink, stage.sink_space), (stage.case.source, stage.source_space))
    return [
        Made(info.record.name, space, stage.bucket if info.record.name == "minio" else "", ours=not external)
        for family, space in sides
        if (info := stage.hands[family].service) is not None
        and ((external := info.record.provider == "external") or stage.settings.keep != "never")
    ]
