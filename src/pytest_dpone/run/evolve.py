"""Act 6: the source's columns change between two runs, and the engine does what it said beforehand (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

from ..core.dataset.evolved import ADDED, DROPPED, RENAMED, WIDENED, Evolved
from ..core.diff import visible
from ..core.kinds import ID, TableSchema
from ..core.model import ActName, Case, Check, DiffReport, Evolution, Strategy
from ..core.oracle import Expectation
from ..core.wire import Engine, Support
from ..errors import UsageError, described
from ..services.catalog import Evolving
from .act import Act
from .crash import small
from .stage import Stage

ROUTES = (
    ("postgres", "postgres"),
    ("postgres", "mssql"),
    ("mssql", "postgres"),
    ("postgres", "clickhouse"),
    ("postgres", "kafka"),
    ("minio", "postgres"),
    ("clickhouse", "postgres"),
)
Promise = Literal["follows", "freezes", "refuses"]
STRATEGY = Strategy.INCREMENTAL_MERGE
"""The one whose table stays, so that its columns must change or not."""


def evolves(case: Case, support: Support) -> bool:
    """If the act is played: the engine has said of some change what it does."""
    return (case.source, case.sink) in ROUTES and case.strategy is STRATEGY and bool(support.evolution)


def evolve(act: Act, stage: Stage, engine: Engine) -> None:
    """One table per change of the columns; each is loaded, changed, and loaded again."""
    for change, promise in stage.support.evolution.items():
        act.planned[str(change)] = promise
        _play(act, small(stage, f"evolve_{change}", number=0), engine, change, promise)


def _play(act: Act, stage: Stage, engine: Engine, change: Evolution, promise: Promise) -> None:
    """Load the table, change its source's columns, then its rows, and hold the engine to its promise."""
    schema = stage.dataset.schema
    stage.source.create(stage.source_space, stage.table, schema)
    stage.source.load(stage.source_space, stage.table, schema, stage.dataset.before())
    act.run(engine, stage.job(ActName.LOAD))
    loaded = dict(stage.sink.columns(stage.sink_space, stage.table))
    evolved = Evolved(change, schema, wide=promise != "freezes" or _takes_wide(stage, loaded))
    _alter(stage, change)
    commits = [evolved.commit(commit) for commit in stage.dataset.commits()]
    stage.source.change(stage.source_space, stage.table, evolved.schema, commits)
    if promise == "refuses":
        _refused(act, stage, engine, change)
        return
    act.run(engine, stage.job(ActName.CHANGE, schema=evolved.schema))
    _judge(act, stage, evolved, frozen=loaded if promise == "freezes" else None)
    if change is Evolution.WIDEN and not evolved.wide:
        stage.source.change(stage.source_space, stage.table, evolved.schema, [evolved.unfit(commits)])
        _refused(act, stage, engine, change)


def _takes_wide(stage: Stage, loaded: Mapping[str, str]) -> bool:
    """If the sink's column has held the wider kind from the first load on, so that there is nothing to refuse."""
    return stage.dataset.contracts.accepts(stage.case.sink, WIDENED.kind, loaded.get(WIDENED.name, ""))


def _alter(stage: Stage, change: Evolution) -> None:
    source = stage.source
    if not isinstance(source, Evolving):
        raise UsageError(f"the columns of a {stage.case.source} source can't change", hint="its catalog lacks that")
    alter = {
        Evolution.ADD: partial(source.add_column, field=ADDED),
        Evolution.WIDEN: partial(source.widen_column, field=WIDENED),
        Evolution.DROP: partial(source.drop_column, name=DROPPED),
        Evolution.RENAME: partial(source.rename_column, name=RENAMED[0], to=RENAMED[1]),
    }
    alter[change](stage.source_space, stage.table)


def _refused(act: Act, stage: Stage, engine: Engine, change: Evolution) -> None:
    """The run must raise, and rows and columns of the sink must be as they were."""

    def look() -> tuple[object, object]:
        found = stage.sink.fingerprint(stage.sink_space, stage.table, ID)
        return found, dict(stage.sink.columns(stage.sink_space, stage.table))

    before = look()
    try:
        act.run(engine, stage.job(ActName.CHANGE))
    except Exception as error:
        raised, told = True, stage.scrub(described(error))[:200]
    else:
        raised, told = False, "the run went on as if the columns were the same"
    untouched = look() == before
    actual = ("refused" if raised else "taken") + ("" if untouched else ", and the sink changed")
    act.checks.append(
        Check(name=f"evolve.{change}", passed=raised and untouched, expected="refused", actual=actual, detail=told)
    )


def _judge(act: Act, stage: Stage, evolved: Evolved, *, frozen: Mapping[str, str] | None) -> None:
    """Columns and rows of the sink: with the change where the engine follows, else with the columns as they were."""
    stays = frozen is not None and not (evolved.change is Evolution.WIDEN and evolved.wide)
    schema = evolved.before if stays else evolved.schema
    found = stage.sink.columns(stage.sink_space, stage.table)
    told = "; ".join(_wrong(stage, schema, found, frozen))
    name = f"evolve.{evolved.change}"
    act.check(f"{name}.columns", expected="", actual=told)
    if not told:
        act.check_rows(f"{name}.rows", _compared(stage, evolved, schema))


def _wrong(
    stage: Stage, schema: TableSchema, found: Mapping[str, str], frozen: Mapping[str, str] | None
) -> Iterator[str]:
    """What is wrong with the columns `found`, by name and by type."""
    for field in schema.fields:
        native = found.get(field.name)
        if native is None:
            yield f"{visible(field.name)} is missing"
        elif not stage.dataset.contracts.accepts(stage.case.sink, field.kind, native):
            yield f"{visible(field.name)} is {visible(native)}, not accepted for {field.kind}"
        elif frozen is not None and frozen.get(field.name) != native:
            yield f"{visible(field.name)} is {visible(native)}, and was {visible(frozen.get(field.name, 'absent'))}"
    for name in stage.unexpected(found, {field.name for field in schema.fields}):
        yield f"{visible(name)} is not expected"


def _compared(stage: Stage, evolved: Evolved, schema: TableSchema) -> DiffReport:
    """The narrow dataset has no value that a contract changes, so the rows are expected as they are."""
    old = stage.expect(ActName.CHANGE)
    change = evolved.frozen if schema == evolved.before else evolved.rows
    return stage.compare_sink(Expectation(schema.fields, old.identity, lambda: change(old.batches), old.order))
