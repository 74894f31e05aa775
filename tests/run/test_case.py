"""Every check of every act, seen green with a right mover and red with one that is broken in one place."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pytest_dpone.core.kinds import TableSchema
from pytest_dpone.core.model import Case, CaseRecord, NotRun, Strategy, Verdict
from pytest_dpone.core.registry import default_registry
from pytest_dpone.core.wire import Job, RunFacts, Support
from pytest_dpone.run import poll, stage
from pytest_dpone.run.case import certify, not_run, rerun_command
from pytest_dpone.run.settings import DatasetKind, RunSettings
from pytest_dpone.run.step import Step, silent
from pytest_dpone.services.catalog import Commit

spec = importlib.util.spec_from_file_location("dpone_memory", Path(__file__).with_name("memory.py"))
assert spec is not None and spec.loader is not None
memory = importlib.util.module_from_spec(spec)
sys.modules["dpone_memory"] = memory
spec.loader.exec_module(memory)

SETTINGS = RunSettings(run_id="unit", rows=120, seed=5, batch_rows=50)


class World:
    """One shared memory, its catalog and its engine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.catalog = memory.MemoryCatalog(tables={})
        self.engine = memory.MemoryEngine(self.catalog.tables, self.catalog.versions)
        for module in (stage,):
            monkeypatch.setattr(module, "open_catalog", lambda info, *, bucket: self.catalog)

    def certify(self, strategy: Strategy, settings: RunSettings = SETTINGS, on_step=silent) -> CaseRecord:  # type: ignore[no-untyped-def]
        return certify(
            Case("postgres", "postgres", strategy),
            engine=self.engine,
            registry=default_registry(),
            services={"postgres": memory.service()},
            settings=settings,
            on_step=on_step,
        )

    def replace(self, name: str, method: Callable[..., object]) -> None:
        setattr(self.engine, name, method)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


FOUR = [
    Strategy.FULL_REFRESH,
    Strategy.INCREMENTAL_APPEND,
    Strategy.INCREMENTAL_MERGE,
    Strategy.SNAPSHOT_DIFF,
]


def red(record: CaseRecord) -> list[str]:
    assert record.verdict is Verdict.FAILED
    return [f"{act.name}.{check.name}" for act in record.acts for check in act.checks if not check.passed]


@pytest.mark.parametrize("strategy", FOUR)
@pytest.mark.parametrize("dataset", ["standard", "narrow", "single", "empty"])
def test_a_right_mover_passes_and_leaves_nothing(world: World, strategy: Strategy, dataset: str) -> None:
    heard: list[Step] = []
    settings = SETTINGS.model_copy(update={"dataset": dataset})
    record = world.certify(strategy, settings, on_step=heard.append)
    assert record.verdict is Verdict.PASSED, record.detail
    acts = ["provision", "load", "change", "repeat"] + ["reconcile"] * (strategy is Strategy.INCREMENTAL_MERGE)
    assert [act.name for act in record.acts] == acts
    assert heard == [*(Step(act, number, len(acts)) for number, act in enumerate(acts, start=1)), Step("clean-up")]
    assert all(act.checks for act in record.acts)
    assert record.acts[2].rows > 0
    assert world.catalog.tables == {} and world.catalog.spaces == set()
    assert CaseRecord.model_validate_json(record.model_dump_json()) == record
    assert record.finished_at.endswith("Z")


def broken_put(world: World, change: Callable[[pa.Table], pa.Table]) -> None:
    right = world.engine.put
    world.replace("put", lambda job, rows: right(job, change(rows)))


@pytest.mark.parametrize("strategy", FOUR)
def test_a_lost_row_is_seen(world: World, strategy: Strategy) -> None:
    broken_put(world, lambda rows: rows.slice(0, rows.num_rows - 1))
    record = world.certify(strategy)
    assert "load.rows" in red(record)
    assert [act.name for act in record.acts] == ["provision", "load"], "the first red act ends the case"
    assert record.detail == "act load, check rows: 1 missing"
    diff = record.acts[1].diff
    assert diff is not None and diff.missing == 1 and diff.samples[0].kind == "missing"


@pytest.mark.parametrize(
    ("strategy", "key", "named"),
    [
        (Strategy.FULL_REFRESH, "integer: id", {"id": "3"}),
        (Strategy.INCREMENTAL_APPEND, "text: code", {"code": "' a0'", "revision": "0"}),
        (Strategy.SNAPSHOT_DIFF, "composite: tenant, number", {"tenant": "'t '", "number": "0"}),
    ],
)
def test_rows_that_differ_are_named_by_the_declared_key(
    world: World, strategy: Strategy, key: str, named: dict[str, str]
) -> None:
    broken_put(world, lambda rows: pa.concat_tables([rows.slice(0, 2), rows.slice(3)]))
    record = world.certify(strategy)
    assert record.acts[0].planned["key"] == key
    diff = record.acts[1].diff
    assert diff is not None
    assert [(each.kind, each.key) for each in diff.samples] == [("missing", named)]


def test_a_doubled_row_is_seen(world: World) -> None:
    broken_put(world, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    assert red(world.certify(Strategy.FULL_REFRESH)) == ["load.rows"]


def test_a_changed_value_is_shown_with_both_sides(world: World) -> None:
    def shout(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index("order")
        return rows.set_column(at, rows.schema.field(at), pc.utf8_upper(rows["order"]))

    broken_put(world, shout)
    record = world.certify(Strategy.FULL_REFRESH)
    assert red(record) == ["load.rows"]
    diff = record.acts[1].diff
    assert diff is not None
    assert list(diff.columns) == ["order"]
    expected, actual = diff.samples[0].columns["order"]
    assert expected.upper() == actual.upper() != expected


def test_a_missing_column_is_seen_before_rows_are_compared(world: World) -> None:
    broken_put(world, lambda rows: rows.drop_columns(["order", "from"]))
    record = world.certify(Strategy.FULL_REFRESH)
    assert red(record)[0] == "load.schema"
    assert "order is missing" in record.detail and "from is missing" in record.detail


def test_a_column_of_an_undeclared_type_is_seen(world: World) -> None:
    world.catalog.columns_override = {"amount_25": "double precision"}
    record = world.certify(Strategy.FULL_REFRESH)
    assert "amount_25 is double precision, not accepted for decimal(38,10)" in record.detail


def test_a_surplus_column_is_seen_unless_it_is_the_engines_own(world: World) -> None:
    world.catalog.columns_override = {"_load_id": "text"}
    assert "_load_id is not expected" in world.certify(Strategy.FULL_REFRESH).detail
    world.replace("supports", lambda case: Support(status="supported", own_columns=("_load_*",)))
    assert world.certify(Strategy.FULL_REFRESH).verdict is Verdict.PASSED


def test_a_bad_seed_is_not_blamed_on_the_engine(world: World) -> None:
    right = world.catalog.load

    def lossy(namespace: str, table: str, schema, batches) -> int:  # type: ignore[no-untyped-def]
        return int(right(namespace, table, schema, list(batches)[:-1]))

    world.catalog.load = lossy
    record = world.certify(Strategy.FULL_REFRESH)
    assert [act.name for act in record.acts] == ["provision"]
    assert red(record) == ["provision.seeded", "provision.source"]


def test_a_change_that_did_not_happen_is_not_blamed_on_the_engine(world: World) -> None:
    world.catalog.change = lambda *args: None
    assert red(world.certify(Strategy.FULL_REFRESH))[0] == "change.source"


def test_a_seed_that_is_counted_wrongly_is_seen_by_its_count_alone(world: World) -> None:
    right = world.catalog.load
    world.catalog.load = lambda *args: right(*args) + 1
    assert red(world.certify(Strategy.FULL_REFRESH)) == ["provision.seeded"]


def test_a_source_that_keeps_deleted_rows_is_seen_by_itself_alone(world: World) -> None:
    right = world.catalog.change

    def keeps(namespace: str, table: str, schema: TableSchema, commits: Sequence[Commit]) -> None:
        right(namespace, table, schema, [replace(commit, deletes=commit.deletes.slice(0, 0)) for commit in commits])

    world.catalog.change = keeps
    assert red(world.certify(Strategy.INCREMENTAL_APPEND)) == ["change.source"]


def test_missed_ties_are_seen(world: World) -> None:
    world.replace("reached", lambda job, old, rows: pc.greater(rows[job.cursor], pc.max(old[job.cursor])))
    for strategy in (Strategy.INCREMENTAL_APPEND, Strategy.INCREMENTAL_MERGE):
        assert "change.rows" in red(world.certify(strategy))


def test_rows_that_come_late_are_not_expected_before_reconciliation(world: World) -> None:
    world.replace("reached", lambda job, old, rows: pc.is_valid(rows[job.cursor]))
    assert "change.rows" in red(world.certify(Strategy.INCREMENTAL_APPEND))


def test_ties_that_are_appended_twice_are_seen(world: World) -> None:
    def careless(job: Job, old: pa.Table, rows: pa.Table) -> RunFacts:
        seen = rows.filter(pc.greater_equal(rows[job.cursor], pc.max(old[job.cursor])))
        world.engine.put(job, pa.concat_tables([old, seen]))
        return RunFacts(read=seen.num_rows, written=seen.num_rows)

    world.replace("increment", careless)
    record = world.certify(Strategy.INCREMENTAL_APPEND)
    assert "change.rows" in red(record)
    assert record.acts[-1].diff is not None and record.acts[-1].diff.duplicated > 0


def facts_with(world: World, act: int, **lies: object) -> None:
    """Lie about one act; acts are counted from 1 (load)."""
    right, calls = world.engine.run, iter(range(1, 10))

    def run(job: Job) -> RunFacts:
        facts = right(job)
        return RunFacts.model_validate({**facts.model_dump(), **lies}) if next(calls) == act else facts

    world.replace("run", run)


@pytest.mark.parametrize(
    ("strategy", "act", "lie", "check"),
    [
        (Strategy.FULL_REFRESH, 1, {"read": 1}, "load.facts.read"),
        (Strategy.FULL_REFRESH, 1, {"written": 1}, "load.facts.written"),
        (Strategy.INCREMENTAL_APPEND, 2, {"written": 1}, "change.facts.written"),
        (Strategy.INCREMENTAL_APPEND, 3, {"written": 1}, "repeat.repeat_writes_nothing"),
        (Strategy.INCREMENTAL_APPEND, 1, {"state_after": ""}, "load.state_kept"),
        (Strategy.INCREMENTAL_MERGE, 2, {"state_before": "another"}, "change.state_continues"),
        (Strategy.INCREMENTAL_MERGE, 3, {"state_after": "another"}, "repeat.state_unchanged"),
        (Strategy.INCREMENTAL_MERGE, 4, {"deleted": 0}, "reconcile.deletes_reconciled"),
        (Strategy.INCREMENTAL_MERGE, 4, {"deleted": None}, "reconcile.deletes_reconciled"),
        (Strategy.FULL_REFRESH, 2, {"written": 1}, "change.facts.written"),
        (Strategy.FULL_REFRESH, 3, {"written": 10**15}, "repeat.facts.written"),
        (Strategy.INCREMENTAL_APPEND, 2, {"inserted": 1}, "change.facts.inserted"),
        (Strategy.INCREMENTAL_APPEND, 2, {"deleted": 1}, "change.facts.deleted"),
        (Strategy.INCREMENTAL_APPEND, 3, {"inserted": 1}, "repeat.facts.inserted"),
        (Strategy.INCREMENTAL_MERGE, 2, {"read": 0}, "change.facts.read"),
        (Strategy.INCREMENTAL_MERGE, 2, {"written": 10**15}, "change.facts.written"),
        (Strategy.INCREMENTAL_MERGE, 2, {"written": 1}, "change.facts.written"),
        (Strategy.INCREMENTAL_MERGE, 2, {"inserted": 10**15}, "change.facts.inserted"),
        (Strategy.INCREMENTAL_MERGE, 2, {"updated": 0}, "change.facts.updated"),
        (Strategy.INCREMENTAL_MERGE, 2, {"deleted": 777}, "change.facts.deleted"),
        (Strategy.INCREMENTAL_MERGE, 3, {"inserted": 1}, "repeat.facts.inserted"),
        (Strategy.INCREMENTAL_MERGE, 3, {"deleted": 1}, "repeat.facts.deleted"),
        (Strategy.INCREMENTAL_MERGE, 3, {"written": 10**15}, "repeat.facts.written"),
        (Strategy.INCREMENTAL_MERGE, 4, {"inserted": 777}, "reconcile.facts.inserted"),
        (Strategy.SNAPSHOT_DIFF, 1, {"inserted": 1}, "load.facts.inserted"),
        (Strategy.SNAPSHOT_DIFF, 2, {"written": 0}, "change.facts.written"),
        (Strategy.SNAPSHOT_DIFF, 3, {"written": 1}, "repeat.facts.written"),
        (Strategy.SNAPSHOT_DIFF, 2, {"updated": None}, "change.facts.updated"),
        (Strategy.SNAPSHOT_DIFF, 2, {"deleted": 0}, "change.facts.deleted"),
        (Strategy.SNAPSHOT_DIFF, 3, {"unchanged": 0}, "repeat.facts.unchanged"),
    ],
)
def test_a_lie_in_the_facts_is_seen(
    world: World, strategy: Strategy, act: int, lie: dict[str, object], check: str
) -> None:
    facts_with(world, act, **lie)
    assert red(world.certify(strategy)) == [check]


def test_a_reconciliation_that_removes_nothing_is_seen(world: World) -> None:
    world.replace("snapshot", lambda job, old, rows: RunFacts(read=0, written=0, deleted=6))
    assert "reconcile.rows" in red(world.certify(Strategy.INCREMENTAL_MERGE))


def test_rewriting_unchanged_rows_is_seen(world: World) -> None:
    world.replace("rewritten", lambda changed, after: after)
    assert red(world.certify(Strategy.SNAPSHOT_DIFF)) == ["change.unchanged_not_rewritten"]


def test_rewriting_in_a_repeat_is_seen(world: World) -> None:
    calls = iter(range(9))
    world.replace("rewritten", lambda changed, after: after if next(calls) == 2 else changed)
    assert red(world.certify(Strategy.SNAPSHOT_DIFF)) == ["repeat.repeat_writes_nothing"]


def test_a_reader_that_sees_half_a_table_is_told(world: World) -> None:
    right = world.engine.put

    def slow(job: Job, rows: pa.Table) -> None:
        import time

        right(job, rows.slice(0, 1))
        time.sleep(0.1)
        right(job, rows)

    world.replace("put", slow)
    record = world.certify(Strategy.FULL_REFRESH)
    assert red(record) == ["change.swap"]
    assert "a reader saw 1 rows with the sum " in record.detail


def test_a_reader_that_sees_rows_updated_in_place_is_told(world: World) -> None:
    right = world.engine.put

    def slow(job: Job, rows: pa.Table) -> None:
        import time

        old = world.catalog.tables.get((job.sink.namespace, job.sink.table))
        if old is not None:
            place = old.schema.get_field_index("revision")
            right(job, old.set_column(place, old.field(place), pc.add(old["revision"], 1)))
            time.sleep(0.1)
        right(job, rows)

    world.replace("put", slow)
    assert red(world.certify(Strategy.FULL_REFRESH)) == ["change.swap"]


def test_a_reader_that_sees_no_table_is_told(world: World) -> None:
    right = world.engine.put

    def slow(job: Job, rows: pa.Table) -> None:
        import time

        world.catalog.tables.pop((job.sink.namespace, job.sink.table), None)
        time.sleep(0.1)
        right(job, rows)

    world.replace("put", slow)
    assert "a reader saw no table" in world.certify(Strategy.FULL_REFRESH).detail


def test_a_reader_that_never_looked_while_the_engine_ran_is_not_a_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll.Poll, "meanwhile", property(lambda self: 0))
    record = world.certify(Strategy.FULL_REFRESH)
    assert red(record) == ["change.swap"]
    assert "did not get a look in" in record.detail


def test_a_reader_that_fails_is_not_a_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    def refused(info: object, *, bucket: str) -> object:
        opened.append(info)
        if len(opened) > 2:  # after source and sink comes the reader
            raise OSError(f"no way in with {memory.SECRET}")
        return world.catalog

    monkeypatch.setattr(stage, "open_catalog", refused)
    record = world.certify(Strategy.FULL_REFRESH)
    assert red(record) == ["change.swap"]
    assert "the polling reader failed: OSError: no way in with ***" in record.detail


def test_an_engine_that_raises_is_red_and_tells_no_secret(world: World) -> None:
    def dies(job: Job) -> RunFacts:
        raise RuntimeError(f"could not connect to {job.source.url.get_secret_value()}")

    world.replace("run", dies)
    record = world.certify(Strategy.FULL_REFRESH)
    assert record.detail == "act load: RuntimeError: could not connect to postgresql://u:***@127.0.0.1:1/x"
    assert memory.SECRET not in record.model_dump_json()


@pytest.mark.parametrize("place", range(1930, 2000, 7))
def test_the_cut_of_a_long_error_leaves_no_part_of_a_secret(world: World, place: int) -> None:
    def dies(job: Job) -> RunFacts:
        raise RuntimeError("x" * place + job.source.url.get_secret_value())

    world.replace("run", dies)
    record = world.certify(Strategy.FULL_REFRESH).model_dump_json()
    assert memory.SECRET[:4] not in record


def test_a_case_without_any_row_is_not_a_pass(world: World) -> None:
    nothing = SETTINGS.model_copy(update={"dataset": "empty", "change_ratio": 0.0, "delete_ratio": 0.0})
    record = world.certify(Strategy.FULL_REFRESH, nothing)
    assert record.verdict is Verdict.FAILED
    assert record.detail.startswith("no row was ever there to compare: raise --dpone-change-ratio")
    assert record.rerun


def test_an_engine_may_raise_a_very_long_error(world: World) -> None:
    def dies(job: Job) -> RunFacts:
        raise RuntimeError("x" * 10**6)

    world.replace("run", dies)
    assert len(world.certify(Strategy.FULL_REFRESH).model_dump_json()) < 20_000


def test_a_keyboard_interrupt_passes_and_leaves_nothing(world: World) -> None:
    def interrupted(job: Job) -> RunFacts:
        raise KeyboardInterrupt

    world.replace("run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.certify(Strategy.FULL_REFRESH)
    assert world.catalog.tables == {} and world.catalog.spaces == set()


def test_a_clean_up_that_fails_is_red(world: World) -> None:
    def stuck(namespace: str) -> None:
        raise OSError("still in use")

    world.catalog.close = stuck
    record = world.certify(Strategy.FULL_REFRESH)
    assert record.verdict is Verdict.FAILED
    assert "the clean-up left something behind" in record.detail and "still in use" in record.detail
    broken_put(world, lambda rows: rows.slice(1))
    record = world.certify(Strategy.FULL_REFRESH)
    assert record.detail.startswith("act load, check rows: 1 missing; the clean-up left something behind: ")


@pytest.mark.parametrize(
    ("keep", "broken", "left"),
    [("always", False, True), ("failed", False, False), ("failed", True, True), ("never", True, False)],
)
def test_keep(world: World, keep: str, broken: bool, left: bool) -> None:
    if broken:
        broken_put(world, lambda rows: rows.slice(1))
    world.certify(Strategy.FULL_REFRESH, SETTINGS.model_copy(update={"keep": keep}))
    assert bool(world.catalog.tables) is left


class TestRejections:
    """Postgres refuses a NUL byte; the memory stands in for a source that holds one."""

    def certify(self, world: World) -> CaseRecord:
        world.catalog.columns_override = {}
        return certify(
            Case("minio", "postgres", Strategy.FULL_REFRESH),
            engine=world.engine,
            registry=default_registry(),
            services={"postgres": memory.service(), "minio": memory.service("minio")},
            settings=SETTINGS.model_copy(update={"dataset": "narrow"}),
        )

    @staticmethod
    def refuse(message: str) -> Callable[[pa.Table], None]:
        def check(rows: pa.Table) -> None:
            if "value" in rows.column_names and any("\0" in value for value in rows["value"].to_pylist()):
                raise ValueError(message)

        return check

    def test_a_declared_error_passes(self, world: World) -> None:
        world.replace("refuse", self.refuse("a NUL byte in row 1"))
        record = self.certify(world)
        assert record.verdict is Verdict.PASSED, record.detail
        assert [check.name for check in record.acts[-1].checks] == ["rejects.text.nul"]

    def test_a_value_that_is_taken_silently_is_seen(self, world: World) -> None:
        record = self.certify(world)
        assert red(record) == ["reject.rejects.text.nul"]
        assert r"'a\x00b' (text) was taken silently" in record.detail

    def test_another_error_is_not_the_declared_one(self, world: World) -> None:
        world.replace("refuse", self.refuse("connection lost"))
        assert "raised something else than" in self.certify(world).detail

    def test_an_error_after_the_value_was_written_is_seen(self, world: World) -> None:
        right, check = world.engine.put, self.refuse("a NUL byte")

        def late(job: Job, rows: pa.Table) -> None:
            right(job, rows)
            check(rows)

        world.replace("put", late)
        record = self.certify(world)
        assert red(record) == ["reject.rejects.text.nul"]
        assert record.acts[-1].checks[0].actual == "1 rows"


def test_what_the_engine_does_not_support_is_not_run(world: World) -> None:
    world.replace("supports", lambda case: Support(status="unsupported", reason="no such connector"))
    record = world.certify(Strategy.FULL_REFRESH)
    assert (record.verdict, record.reason) == (Verdict.NOT_RUN, NotRun.NOT_IMPLEMENTED)
    assert record.detail == "no such connector"


def test_a_harness_that_cannot_connect_is_red(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(info: object, *, bucket: str) -> object:
        raise OSError(f"refused {memory.SECRET}")

    monkeypatch.setattr(stage, "open_catalog", refused)
    record = world.certify(Strategy.FULL_REFRESH)
    assert record.detail == "the harness failed: OSError: refused ***"


def test_the_rerun_command_is_a_shell_command_with_all_that_differs() -> None:
    case = Case("postgres", "minio", Strategy.FULL_REFRESH)
    assert rerun_command(case, RunSettings(run_id="x", rows=9, seed=3)) == (
        "pytest --dpone-case=postgres_to_minio__full_refresh --dpone-rows=9 --dpone-seed=3"
    )
    other = RunSettings(
        run_id="x", change_ratio=0.5, delete_ratio=0.1, dataset="single", batch_rows=7, engine="my engine"
    )
    assert rerun_command(case, other).endswith(
        "--dpone-change-ratio=0.5 --dpone-delete-ratio=0.1 --dpone-dataset=single --dpone-batch-rows=7 '--dpone-engine=my engine'"
    )


@pytest.mark.parametrize(
    ("rows", "kind", "batch"),
    [
        (1, "standard", 1),
        (2, "single", 1),
        (5, "narrow", 2),
        (1000, "standard", 250),
        (10**6, "standard", 16_384),
        (10**6, "narrow", 65_536),
    ],
)
def test_a_table_is_several_batches_long(rows: int, kind: DatasetKind, batch: int) -> None:
    settings = RunSettings(run_id="x", rows=rows, dataset=kind)
    assert settings.batch_rows == settings.dataset_spec().batch_rows == batch
    command = rerun_command(Case("postgres", "minio", Strategy.FULL_REFRESH), settings)
    assert "batch" not in command, "what is derived needs no option"


def test_not_run_says_why() -> None:
    record = not_run(
        Case("postgres", "minio", Strategy.FULL_REFRESH), NotRun.UNAVAILABLE, detail="no server", settings=SETTINGS
    )
    assert (record.verdict, record.reason, record.detail) == (Verdict.NOT_RUN, NotRun.UNAVAILABLE, "no server")
    assert record.acts == ()


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 0}, {"rows": -1}, {"change_ratio": 1.1}, {"delete_ratio": 0.3}, {"change_ratio": float("nan")}, {"run_id": "../x"}, {"run_id": "A"}],
)  # fmt: skip
def test_settings_refuse_what_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        RunSettings.model_validate({"run_id": "x", **wrong})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(0), "act load: EngineFailed: the engine raised SystemExit: 0"),
        (RuntimeError("half a character: \ud800"), "act load: RuntimeError: half a character: \\ud800"),
        (type("Mute", (Exception,), {"__str__": lambda self: None})(), "act load: Mute (its text can't be had)"),
    ],
)
def test_whatever_the_engine_raises_is_in_the_record(world: World, error: BaseException, told: str) -> None:
    def run(job: Job) -> RunFacts:
        raise error

    world.replace("run", run)
    record = world.certify(Strategy.FULL_REFRESH)
    assert (record.verdict, record.detail) == (Verdict.FAILED, told)
    assert [act.name for act in record.acts] == ["provision", "load"]
    assert CaseRecord.model_validate_json(record.model_dump_json()) == record
    assert world.catalog.tables == {} and world.catalog.spaces == set()


def test_an_engine_that_can_not_say_what_it_supports_is_red(world: World) -> None:
    world.replace("supports", lambda case: None)
    record = world.certify(Strategy.FULL_REFRESH)
    assert record.verdict is Verdict.FAILED
    assert "it returned NoneType instead of a Support" in record.detail
    assert record.rerun


def test_a_state_without_end_does_not_fill_the_record(world: World) -> None:
    right = world.engine.run
    runs: list[int] = []

    def run(job: Job) -> RunFacts:
        runs.append(len(runs))
        return right(job).model_copy(update={"state_after": str(len(runs)) * 1_000_000})  # type: ignore[no-any-return]

    world.replace("run", run)
    record = world.certify(Strategy.INCREMENTAL_APPEND)
    assert "change.state_continues" in red(record)
    assert "(1000000 characters)" in record.detail
    assert len(record.model_dump_json()) < 20_000
