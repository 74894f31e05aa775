"""Act 6: the source's columns change between two runs, and the engine does what it said beforehand (DESIGN §3)."""

from __future__ import annotations

from functools import partial

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
STRATEGY = Strategy.INCREMENTAL_MERGE
"""The one whose table stays, so that its columns must change or not."""


def evolves(case: Case, support: Support) -> bool:
    """If the act is played: the engine has said of some change what it does."""
    return (case.source, case.sink) in ROUTES and case.strategy is STRATEGY and bool(support.evolution)


def evolve(act: Act, stage: Stage, engine: Engine) -> None:
    """One table per change of the columns; each is loaded, changed, and loaded again."""
    for change, promise in stage.support.evolution.items():
        act.planned[str(change)] = promise
        beside = small(stage, f"evolve_{change}", number=0)
        evolved = Evolved(change, beside.dataset.schema)
        _prepare(act, beside, engine, evolved)
        if promise == "refuses":
            _refused(act, beside, engine, change)
        else:
            act.run(engine, beside.job(ActName.CHANGE, schema=evolved.schema))
            _judge(act, beside, evolved, follows=promise == "follows")


def _prepare(act: Act, stage: Stage, engine: Engine, evolved: Evolved) -> None:
    """Load the table, change its source's columns, then its rows."""
    schema = stage.dataset.schema
    stage.source.create(stage.source_space, stage.table, schema)
    stage.source.load(stage.source_space, stage.table, schema, stage.dataset.before())
    act.run(engine, stage.job(ActName.LOAD))
    _alter(stage, evolved.change)
    commits = [evolved.commit(commit) for commit in stage.dataset.commits()]
    stage.source.change(stage.source_space, stage.table, evolved.schema, commits)


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


def _judge(act: Act, stage: Stage, evolved: Evolved, *, follows: bool) -> None:
    """Columns and rows of the sink: with the change where the engine follows, with the old columns where it freezes."""
    schema = evolved.schema if follows else evolved.before
    found = list(stage.sink.columns(stage.sink_space, stage.table))
    missing = [visible(f.name) for f in schema.fields if f.name not in found]
    surplus = [visible(name) for name in found if name not in {f.name for f in schema.fields}]
    told = "; ".join([f"{name} is missing" for name in missing] + [f"{name} is not expected" for name in surplus])
    name = f"evolve.{evolved.change}"
    act.check(f"{name}.columns", expected="", actual=told)
    if not told:
        act.check_rows(f"{name}.rows", _compared(stage, evolved, schema))


def _compared(stage: Stage, evolved: Evolved, schema: TableSchema) -> DiffReport:
    """The narrow dataset has no value that a contract changes, so the rows are expected as they are."""
    old = stage.expect(ActName.CHANGE)
    change = evolved.frozen if schema == evolved.before else evolved.rows
    return stage.compare_sink(Expectation(schema.fields, old.identity, lambda: change(old.batches), old.order))
