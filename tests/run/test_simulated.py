"""Whole cases on tables in memory: sound ones behave, and every way to break the engine is found out."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_dpone.core.contracts import default_contracts
from pytest_dpone.core.dataset.keyed import KEYS
from pytest_dpone.core.gates.matrix import judge_matrix
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, CaseRecord, NotRun, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Engine, HistoryColumns, RunFacts
from pytest_dpone.engines.mock import STRATEGIES, Load, MockEngine
from pytest_dpone.engines.mock import strategy as loads
from pytest_dpone.engines.mock.merge import appended
from pytest_dpone.engines.mock.state import State
from pytest_dpone.engines.mock.tables import Content
from pytest_dpone.engines.mutants import MUTANTS, Mutant
from pytest_dpone.engines.native import NativeEngine
from pytest_dpone.run.attempt import attempt
from pytest_dpone.run.certification import Certification
from pytest_dpone.run.matrix_files import last_run, read_matrix
from pytest_dpone.run.plan import make_plan
from pytest_dpone.run.publication import Identity, Publication
from pytest_dpone.run.settings import RunSettings
from pytest_dpone.services import lease
from pytest_dpone.services.memory import MemoryStack

REGISTRY = default_registry()
PLANNED = {case.case_id: case for case in build_matrix(REGISTRY).planned}
CONTRACTED = {row.family for row in default_contracts().rows}
SIMULATED = [case for case in PLANNED.values() if {case.source, case.sink} <= CONTRACTED]
SETTINGS = RunSettings(run_id="unit", rows=120, seed=5, batch_rows=60)

Play = Callable[..., CaseRecord]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStack]:
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(lease, "base_directory", lambda: tmp_path)
    stack = MemoryStack.launch("unit")
    yield stack
    stack.close()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.fixture
def play(stack: MemoryStack) -> Play:
    def play_case(case_id: str, engine: Engine, **settings: object) -> CaseRecord:
        return attempt(
            PLANNED[case_id],
            engine=engine,
            registry=REGISTRY,
            services=lambda: stack,
            settings=SETTINGS.model_copy(update=settings),
        )

    return play_case


def red(record: CaseRecord) -> list[str]:
    assert record.verdict is Verdict.FAILED, record.detail
    return [f"{act.name}.{check.name}" for act in record.acts for check in act.checks if not check.passed]


def test_there_is_something_to_simulate() -> None:
    assert len(SIMULATED) >= 30


def wide() -> set[str]:
    """The cases that are played with all columns: one of each pair, by turns of each strategy, rare ones first."""
    cases_of = Counter(case.strategy for case in SIMULATED)
    played = Counter[Strategy]()
    chosen = set()
    for pair in dict.fromkeys((case.source, case.sink) for case in SIMULATED):
        cases = [case for case in SIMULATED if (case.source, case.sink) == pair]
        case = min(cases, key=lambda case: (played[case.strategy], cases_of[case.strategy]))
        played[case.strategy] += 1
        chosen.add(case.case_id)
    return chosen


def test_every_pair_and_every_strategy_is_played_with_all_columns() -> None:
    chosen = [case for case in SIMULATED if case.case_id in wide()]
    assert {(c.source, c.sink) for c in chosen} == {(c.source, c.sink) for c in SIMULATED}
    assert {c.strategy for c in chosen} == set(Strategy)


@pytest.mark.nightly("all columns in one case of each pair alone; ten columns in the others")
@pytest.mark.parametrize("case", SIMULATED, ids=lambda case: case.case_id)
def test_a_sound_case_behaves(play: Play, stack: MemoryStack, case: Case, nightly: bool) -> None:
    record = play(case.case_id, MockEngine(), dataset="standard" if nightly or case.case_id in wide() else "narrow")
    assert record.verdict is Verdict.PASSED, record.detail
    assert {(s.provider, s.product, s.fidelity) for s in record.services} == {("memory", "simulated", "emulated")}
    assert [path for path in Path(stack.address, "tables").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("dataset", ["single", "empty"])
def test_small_datasets_behave(play: Play, strategy: Strategy, dataset: str) -> None:
    record = play(f"postgres_to_clickhouse__{strategy}", MockEngine(), dataset=dataset)
    assert record.verdict is Verdict.PASSED, record.detail


def test_every_planned_case_can_be_simulated() -> None:
    assert [case.case_id for case in PLANNED.values() if MockEngine().supports(case).status != "supported"] == []
    assert len(SIMULATED) == len(PLANNED)


def taps() -> list[Mutant]:
    """The mutants that break the stream between source and sink, whatever they are made of."""
    built = [(mutant, mutant.build()) for mutant in MUTANTS]
    return [mutant for mutant, engine in built if isinstance(engine, NativeEngine) and engine._seams.tap is not None]


def test_most_mutants_break_the_stream() -> None:
    assert {"drop_last_batch", "empty_text_to_null", "round_decimals", "clamp_dates", "strip_nul", "stale_update"} <= {
        mutant.name for mutant in taps()
    }
    assert len(taps()) >= 17


@pytest.mark.parametrize("mutant", taps(), ids=lambda mutant: mutant.name)
def test_a_mutant_of_the_stream_is_found_out_in_memory_too(play: Play, mutant: Mutant) -> None:
    native = mutant.build()
    assert isinstance(native, NativeEngine)
    tap = native._seams.tap
    assert tap is not None
    job: Any = SimpleNamespace(key=KEYS[REGISTRY.key_form(PLANNED[mutant.case_id])])
    record = play(mutant.case_id, MockEngine(lambda batches: tap(job, batches)), rows=300, batch_rows=150)
    assert {name.partition(".")[2] for name in red(record)} & set(mutant.killed_by), record.detail


def broken(strategy: Strategy, load: Callable[[Load], RunFacts]) -> MockEngine:
    return MockEngine(strategies={**STRATEGIES, strategy: load})


def lose_deletes(load: Load) -> RunFacts:
    rows = load.extract(None if load.job.mode == "reconcile" else load.state())
    return loads.merged(load, rows, after=load.state().after(rows, remember=False).to_text(), delete=False)


def keep_gone(load: Load) -> RunFacts:
    return loads.merged(load, load.extract(), after="", delete=False)


def drop_late_ties(load: Load) -> RunFacts:
    right = load.extract

    def later(since: State | None = None) -> pa.Table:
        rows = right(since)
        if since is None or since.watermark is None:
            return rows
        mark = pa.scalar(since.watermark).cast(rows.column(since.cursor).type)
        return rows.filter(pc.greater(rows.column(since.cursor), mark))

    load.extract = later  # type: ignore[method-assign]
    return STRATEGIES[load.job.strategy](load)


def forget_ties(load: Load) -> RunFacts:
    right = load.state
    load.state = lambda: replace(right(), seen=())  # type: ignore[method-assign]
    return loads.incremental_append(load)


def from_the_start(load: Load) -> RunFacts:
    rows = load.extract()
    fresh = load.obeyed(rows)
    after = load.state().after(rows, remember=True).to_text()
    old = load.target(fresh.schema)
    load.put(replace(appended(old, fresh), state=after))
    return RunFacts(read=rows.num_rows, written=rows.num_rows, state_before=old.state, state_after=after)


def lose_state(load: Load) -> RunFacts:
    facts = STRATEGIES[load.job.strategy](load)
    content = load.sink.content()
    assert content is not None
    nothing = State(str(load.job.strategy), load.job.cursor).to_text()
    load.put(replace(content, state=nothing))
    return facts


def say_nothing(load: Load) -> RunFacts:
    return STRATEGIES[load.job.strategy](load).model_copy(update={"state_after": ""})


def move_state(load: Load) -> RunFacts:
    facts = STRATEGIES[load.job.strategy](load)
    return facts.model_copy(update={"state_after": facts.state_after + str(time.monotonic_ns())})


def swallow(load: Load) -> RunFacts:
    return RunFacts(read=0, written=0)


def lose_a_column(load: Load) -> RunFacts:
    right = load.obeyed
    load.obeyed = lambda rows: right(rows).drop_columns(["order"])  # type: ignore[method-assign]
    return loads.full_refresh(load)


def add_a_column(load: Load) -> RunFacts:
    right = load.obeyed
    load.obeyed = lambda rows: right(rows).append_column("extra", pa.nulls(rows.num_rows))  # type: ignore[method-assign]
    return loads.full_refresh(load)


def keep_the_narrow_type(load: Load) -> RunFacts:
    load.obeyed = lambda rows: rows  # type: ignore[method-assign]
    return loads.full_refresh(load)


def numbers_as_text(load: Load) -> RunFacts:
    right = load.obeyed

    def spelled(rows: pa.Table) -> pa.Table:
        rows = right(rows)
        place = rows.schema.get_field_index("large_25")
        return rows.set_column(place, "large_25", rows.column(place).cast(pa.string()))

    load.obeyed = spelled  # type: ignore[method-assign]
    return loads.full_refresh(load)


def empty_first(load: Load) -> RunFacts:
    if (content := load.sink.content()) is not None:
        load.put(Content.empty(content.rows.schema))
        time.sleep(0.1)
    return loads.full_refresh(load)


def rewrite_all(load: Load) -> RunFacts:
    facts = loads.snapshot_diff(load)
    content = load.sink.content()
    assert content is not None
    load.put(
        appended(replace(content, rows=content.rows.slice(0, 0), commits=content.commits.slice(0, 0)), content.rows)
    )
    return facts


def rewrite_in_a_repeat(load: Load) -> RunFacts:
    facts = loads.snapshot_diff(load)
    return rewrite_all(load) if facts.written == 0 else facts


def lie(load: Load) -> RunFacts:
    facts = loads.snapshot_diff(load)
    moved = min(1, facts.updated or 0)
    changed = {"updated": (facts.updated or 0) - moved, "unchanged": (facts.unchanged or 0) + moved}
    return facts.model_copy(update=changed)


def replace_everything(load: Load) -> RunFacts:
    load.job = load.job.model_copy(update={"window": None})
    return STRATEGIES[load.job.strategy](load)


def always_clear(load: Load) -> RunFacts:
    load.job = load.job.model_copy(update={"empty_partition": "clear"})
    return STRATEGIES[load.job.strategy](load)


def never_done(load: Load) -> RunFacts:
    load.job = load.job.model_copy(update={"backfill_id": str(time.monotonic_ns())})
    return STRATEGIES[load.job.strategy](load)


def done_for_all(load: Load) -> RunFacts:
    load.job = load.job.model_copy(update={"backfill_id": "one"})
    return STRATEGIES[load.job.strategy](load)


def backfill_without_a_state(load: Load) -> RunFacts:
    facts = STRATEGIES[Strategy.REPLACE](load)
    return facts if load.job.backfill_id == "first" else facts.model_copy(update={"written": 0, "read": 0})


def backfill_in_secret(load: Load) -> RunFacts:
    facts = STRATEGIES[Strategy.BACKFILL](load)
    content = load.sink.content()
    assert content is not None
    if not facts.written:
        nothing = replace(content, rows=content.rows.slice(0, 0), commits=content.commits.slice(0, 0))
        load.put(appended(nothing, content.rows))
    return facts


def backfill_from_nowhere(load: Load) -> RunFacts:
    return STRATEGIES[Strategy.BACKFILL](load).model_copy(update={"state_before": ""})


def backfill_that_moves_on(load: Load) -> RunFacts:
    facts = STRATEGIES[Strategy.BACKFILL](load)
    return facts if facts.written else facts.model_copy(update={"state_after": "{}"})


def boast(load: Load) -> RunFacts:
    facts = STRATEGIES[load.job.strategy](load)
    told = {"read": 0, "written": 10**15, "inserted": 10**15, "updated": 0, "deleted": 777, "unchanged": 5}
    return facts.model_copy(update=told) if facts.state_before and load.job.mode == "load" else facts


def boast_of_returns(load: Load) -> RunFacts:
    facts = STRATEGIES[load.job.strategy](load)
    returned = 0 < facts.written < 5
    return facts.model_copy(update={"inserted": 10**15, "deleted": 777}) if returned else facts


def run_ahead(load: Load) -> RunFacts:
    state = load.state()
    ahead = replace(state, watermark=str(10**6)) if state.watermark else state
    load.state = lambda: ahead  # type: ignore[method-assign]
    return STRATEGIES[load.job.strategy](load)


def deaf_to_deletes(load: Load) -> RunFacts:
    state = load.state()
    after = replace(state, watermark=str(load.content().last)).to_text()
    return loads.merged(load, load.extract(), after=after, delete=False)


FROM, TO, CURRENT, HASH = map(str, HistoryColumns().names)
MILLISECOND, HOUR = pa.scalar(1000, pa.duration("us")), pa.scalar(3_600_000_000, pa.duration("us"))


def history_then(column: str, change: Callable[[pa.Table], pa.ChunkedArray]) -> Callable[[Load], RunFacts]:
    """Each run leaves `column` of the history as `change` makes it."""

    def then(load: Load) -> RunFacts:
        facts = STRATEGIES[Strategy.SCD2](load)
        content = load.sink.content()
        assert content is not None
        place = content.rows.schema.get_field_index(column)
        rows = content.rows.set_column(place, content.rows.schema.field(place), change(content.rows))
        load.put(replace(content, rows=rows))
        return facts

    return then


FULL, APPEND, MERGE, DIFF = (
    Strategy.FULL_REFRESH,
    Strategy.INCREMENTAL_APPEND,
    Strategy.INCREMENTAL_MERGE,
    Strategy.SNAPSHOT_DIFF,
)
BROKEN = [
    (MERGE, "postgres_to_postgres", lose_deletes, {"reconcile.rows", "reconcile.deletes_reconciled"}),
    (DIFF, "minio_to_clickhouse", keep_gone, {"change.rows", "change.facts.deleted"}),
    (APPEND, "postgres_to_postgres", drop_late_ties, {"change.rows"}),
    (MERGE, "postgres_to_postgres", drop_late_ties, {"change.rows"}),
    (APPEND, "clickhouse_to_clickhouse", forget_ties, {"change.rows"}),
    (APPEND, "postgres_to_minio", from_the_start, {"change.rows"}),
    (APPEND, "postgres_to_postgres", lose_state, {"change.rows", "change.state_continues"}),
    (APPEND, "postgres_to_postgres", say_nothing, {"load.state_kept"}),
    (MERGE, "postgres_to_postgres", move_state, {"change.state_continues"}),
    (FULL, "postgres_to_postgres", swallow, {"load.schema"}),
    (FULL, "postgres_to_postgres", lose_a_column, {"load.schema"}),
    (FULL, "postgres_to_postgres", add_a_column, {"load.schema"}),
    (FULL, "minio_to_postgres", keep_the_narrow_type, {"load.schema"}),
    (FULL, "postgres_to_postgres", numbers_as_text, {"load.schema"}),
    (FULL, "postgres_to_minio", empty_first, {"change.swap"}),
    (DIFF, "postgres_to_postgres", rewrite_all, {"change.unchanged_not_rewritten"}),
    (DIFF, "postgres_to_postgres", rewrite_in_a_repeat, {"repeat.repeat_writes_nothing"}),
    (DIFF, "postgres_to_clickhouse", lie, {"change.facts.updated"}),
    (Strategy.REPLACE, "clickhouse_to_postgres", replace_everything, {"change.rows"}),
    (Strategy.PARTITION_REPLACE, "postgres_to_clickhouse", always_clear, {"change.empty_partition_kept"}),
    (Strategy.BACKFILL, "postgres_to_postgres", never_done, {"repeat.repeat_writes_nothing"}),
    (Strategy.BACKFILL, "clickhouse_to_clickhouse", done_for_all, {"change.rows"}),
    (Strategy.BACKFILL, "postgres_to_postgres", backfill_without_a_state, {"load.state_kept"}),
    (Strategy.BACKFILL, "postgres_to_postgres", backfill_in_secret, {"repeat.repeat_writes_nothing"}),
    (Strategy.BACKFILL, "postgres_to_clickhouse", backfill_from_nowhere, {"change.state_continues"}),
    (Strategy.BACKFILL, "postgres_to_clickhouse", backfill_that_moves_on, {"repeat.state_unchanged"}),
    (
        MERGE,
        "postgres_to_postgres",
        boast,
        {f"change.facts.{name}" for name in ("read", "written", "inserted", "updated", "deleted")},
    ),
    (Strategy.SCD2, "postgres_to_postgres", boast_of_returns, {"return.facts.inserted", "return.facts.deleted"}),
    (Strategy.XMIN, "postgres_to_postgres", run_ahead, {"change.rows"}),
    (Strategy.XMIN, "postgres_to_postgres", say_nothing, {"load.state_kept"}),
    (Strategy.CDC, "postgres_to_clickhouse", deaf_to_deletes, {"change.rows"}),
    (Strategy.CDC, "postgres_to_postgres", move_state, {"change.state_continues"}),
]


WIDE = (lose_a_column, keep_the_narrow_type, numbers_as_text)
"""What breaks columns that only the wide dataset has."""


@pytest.mark.parametrize(("strategy", "pair", "load", "checks"), BROKEN, ids=lambda v: getattr(v, "__name__", None))
def test_a_broken_load_is_red_by_its_check(
    play: Play, strategy: Strategy, pair: str, load: Callable[[Load], RunFacts], checks: set[str]
) -> None:
    record = play(f"{pair}__{strategy}", broken(strategy, load), dataset="standard" if load in WIDE else "narrow")
    assert checks <= set(red(record)), record.detail


def of_gone(rows: pa.Table) -> pa.ChunkedArray:
    """Per version, if its key has none that is current."""
    return pc.invert(pc.is_in(rows["id"], rows["id"].filter(rows[CURRENT]).combine_chunks()))


HISTORIES = [
    ("gaps", TO, lambda rows: pc.subtract(rows[TO], MILLISECOND)),
    ("overlaps", TO, lambda rows: pc.add(rows[TO], MILLISECOND)),
    ("open", TO, lambda rows: pc.if_else(rows[CURRENT], pc.add(rows[FROM], HOUR), rows[TO])),
    ("open", CURRENT, lambda rows: pc.if_else(rows[CURRENT], rows[CURRENT], pa.scalar(None, pa.bool_()))),
    ("not_empty", TO, lambda rows: pc.if_else(pc.is_valid(rows[TO]), rows[FROM], rows[TO])),
    ("begins", FROM, lambda rows: pc.if_else(rows[CURRENT], pa.scalar(None, rows[FROM].type), rows[FROM])),
    ("kept", FROM, lambda rows: pc.subtract(rows[FROM], MILLISECOND)),
    ("kept", TO, lambda rows: pc.if_else(of_gone(rows), pa.scalar(dt.datetime.now(dt.UTC), rows[TO].type), rows[TO])),
    ("kept", HASH, lambda rows: pc.if_else(rows[CURRENT], rows[HASH], pc.utf8_reverse(rows[HASH]))),
    ("kept", HASH, lambda rows: pa.array([str(time.monotonic_ns() + place) for place in range(rows.num_rows)])),
    ("order", FROM, lambda rows: pc.if_else(rows[CURRENT], rows[FROM], pc.add(rows[FROM], HOUR))),
    ("hash", HASH, lambda rows: pa.repeat(pa.scalar("x"), rows.num_rows)),
]


@pytest.mark.parametrize(("check", "column", "change"), HISTORIES, ids=[row[0] for row in HISTORIES])
def test_a_broken_history_is_red_by_its_check(
    play: Play, check: str, column: str, change: Callable[[pa.Table], pa.ChunkedArray]
) -> None:
    engine = broken(Strategy.SCD2, history_then(column, change))
    record = play("postgres_to_postgres__scd2", engine, dataset="narrow")
    assert f"history.{check}" in {name.partition(".")[2] for name in red(record)}, record.detail


def test_a_refusal_with_another_error_is_red(play: Play) -> None:
    def reworded(load: Load) -> RunFacts:
        try:
            return loads.full_refresh(load)
        except Exception:
            raise RuntimeError("connection lost") from None

    record = play("clickhouse_to_postgres__full_refresh", broken(FULL, reworded))
    assert red(record) == ["reject.rejects.text.nul"]


def test_a_lossy_rule_that_is_not_kept_is_red(play: Play) -> None:
    def as_it_was(load: Load) -> RunFacts:
        right = load.obeyed

        def with_nulls(rows: pa.Table) -> pa.Table:
            kept = right(rows)
            if "tags_90" not in kept.column_names:
                return kept
            place = kept.schema.get_field_index("tags_90")
            return kept.set_column(place, kept.schema.field(place), rows.column(place))

        load.obeyed = with_nulls  # type: ignore[method-assign]
        return loads.full_refresh(load)

    record = play("postgres_to_clickhouse__full_refresh", broken(FULL, as_it_was))
    assert red(record) == ["load.rows"]
    diff = record.acts[-1].diff
    assert diff is not None
    assert list(diff.columns) == ["tags_90"]


def test_an_artifact_of_a_simulated_run_never_says_passed(play: Play, tmp_path: Path) -> None:
    plan = make_plan(REGISTRY, cases=["postgres_to_postgres__full_refresh"])
    folder = tmp_path / "matrix"
    folder.mkdir()
    identity = Identity(run_id="unit", profile="local_live", run_mode="mock_local")
    certification = Certification(plan, Publication(folder, identity))
    record = play("postgres_to_postgres__full_refresh", MockEngine())
    certification.take(record.model_dump_json())
    outcome = certification.finish(missing=NotRun.SKIPPED, detail="")
    assert outcome is not None
    assert (outcome.decision.passed, outcome.decision.word) == (True, "SIMULATED")
    for path in folder.glob("*.json"):
        text = path.read_text()
        assert '"passed": false' in text.partition('"record"')[0], path.name
        assert "run_mode.simulated" in text, path.name
    files = read_matrix(folder)
    red = {ruling.blocker for ruling in judge_matrix(files.facts()) if not ruling.passed}
    assert red == {"run_mode.simulated", "certification_report.contradicts_itself"}, "and no document is"
    assert last_run(folder) == {"seconds": {}, "rows": 0}
