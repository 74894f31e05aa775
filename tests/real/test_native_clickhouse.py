"""The native engine's ClickHouse sink where a kill falls between two statements, and with very many days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from pytest_dpone.core.kinds import Field, TableSchema
from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Job, ServiceInfo, Window
from pytest_dpone.engines.native import Sink, clickhouse_deletes, clickhouse_sink
from pytest_dpone.engines.native.clickhouse_state import StateTable
from pytest_dpone.errors import EngineFailed

from .test_native import Bench, Boom, exact, killed, news, run

pytestmark = pytest.mark.real

PAIR = ("postgres", "clickhouse")
DAILY = TableSchema((Field("id", "int64", nullable=False), Field("business_date", "date", nullable=False)), cursor="id")
FIRST = dt.date(2024, 1, 1)


@pytest.fixture
def place(services: dict[str, ServiceInfo]) -> Iterator[Bench]:
    made = Bench(services)
    try:
        yield made
    finally:
        made.close()


def daily(*days: int) -> pa.Table:
    """A row for each number of days after the first; the number is its key."""
    dates = [FIRST + dt.timedelta(days=day) for day in days]
    return pa.table({"id": list(days), "business_date": dates}, schema=DAILY.arrow())


class Dies:
    """A client of a run that dies while it waits for the answer to its delete."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def command(self, statement: str, **more: Any) -> Any:
        answer = self._client.command(statement, **more)
        if statement.startswith("DELETE"):
            raise Boom
        return answer


@pytest.mark.parametrize("clean", [True, False], ids=["error", "kill"])
def test_a_delete_that_is_not_done_never_meets_the_rows_of_another_run(
    place: Bench, monkeypatch: pytest.MonkeyPatch, clean: bool
) -> None:
    place.seed("postgres", news((1, 1, "a"), (2, 2, "b"), (3, 3, "c")))
    job = place.job(PAIR, Strategy.INCREMENTAL_MERGE)
    run(job)
    place.sql("clickhouse", "SYSTEM STOP MERGES `{ns}`.dst")  # stands for a server that is busy
    place.sql("postgres", 'DELETE FROM "{ns}".src WHERE id = 1')

    def dies(job: Job, sink: Any) -> Sink:
        sink._client = Dies(sink._client)
        return sink if clean else killed(job, sink)

    with monkeypatch.context() as patched:
        patched.setattr(clickhouse_sink, "_DELETE", {"lightweight_deletes_sync": 0, "mutations_sync": 0})
        with pytest.raises(Boom):
            run(job.model_copy(update={"mode": "reconcile"}), sink=dies)
    (stage,) = {name for name in place.names("clickhouse") if name.startswith("dpone_stage_")}
    with monkeypatch.context() as patched:
        patched.setattr(clickhouse_deletes, "PATIENCE", 0.3)
        for _ in range(2):
            with pytest.raises(EngineFailed, match=r"a delete that an interrupted load began .* not done after 0\.3 s"):
                run(job)
    assert stage in place.names("clickhouse")
    place.add("postgres", news((4, 4, "d")))
    place.sql("clickhouse", "SYSTEM START MERGES `{ns}`.dst")
    run(job)
    assert place.held("clickhouse") == exact(news((2, 2, "b"), (3, 3, "c"), (4, 4, "d")))
    assert place.names("clickhouse") == {"dst", "_dpone_state"}


def test_why_a_delete_is_not_done_is_told(place: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    place.seed("postgres", news((1, 1, "a"), (2, 2, "b")))
    job = place.job(PAIR, Strategy.INCREMENTAL_MERGE)
    with pytest.raises(Boom):
        run(job, sink=killed, moment=_dies_when_staged)
    (stage,) = {name for name in place.names("clickhouse") if name.startswith("dpone_stage_")}
    place.sql("clickhouse", "CREATE TABLE `{ns}`.dst (id Int64) ENGINE = MergeTree ORDER BY id")
    place.sql("clickhouse", "INSERT INTO `{ns}`.dst VALUES (1)")
    place.sql(
        "clickhouse",
        f"ALTER TABLE `{{ns}}`.dst DELETE WHERE throwIf(id IN (SELECT id FROM `{{ns}}`.{stage}), 'it is too much')"
        " SETTINGS mutations_sync = 0",
    )
    monkeypatch.setattr(clickhouse_deletes, "PATIENCE", 2.0)
    with pytest.raises(EngineFailed, match=r"not done after 2 s: .*it is too much") as caught:
        run(job)
    assert "KILL MUTATION" in str(caught.value.hint)
    assert stage in place.names("clickhouse")
    place.sql("clickhouse", "KILL MUTATION WHERE database = '{ns}' AND table = 'dst'")


def _dies_when_staged(moment: str) -> None:
    if moment == "staged":
        raise Boom


def test_a_backfill_goes_on_after_a_kill_at_any_statement_of_its_first_chunk(
    place: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.seed("postgres", daily(0, 1, 2), DAILY)
    window = Window(start=FIRST, stop=FIRST + dt.timedelta(days=2))
    job = place.job(PAIR, Strategy.BACKFILL, schema=DAILY, window=window, backfill_id="b1")
    write = StateTable.write
    for after in (0, 1, 0):  # the table is empty; a day is in it; a day is in it, and a state says that nothing is done
        left = [after]

        def dies(self: StateTable, *args: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Boom
            write(self, *args)

        with monkeypatch.context() as patched:
            patched.setattr(StateTable, "write", dies)
            with pytest.raises(Boom):
                run(job, sink=killed)
    assert place.held("clickhouse", DAILY) == exact(daily(0))
    assert run(job).written == 2
    assert place.held("clickhouse", DAILY) == exact(daily(0, 1))
    assert run(job).written == 0


@pytest.mark.parametrize("step", [1, 2])
def test_very_many_days_are_replaced(place: Bench, step: int) -> None:
    """Of days side by side and of every second one: each as a term of its own would be too long for a server."""
    place.seed("postgres", daily(0, 2, 4), DAILY)
    days = tuple(FIRST + dt.timedelta(days=step * number) for number in range(20_000))
    job = place.job(PAIR, Strategy.PARTITION_REPLACE, schema=DAILY, partitions=days)
    assert run(job).written == 3
    place.sql("postgres", 'DELETE FROM "{ns}".src WHERE id = 2')
    assert run(job).written == 2
    assert place.held("clickhouse", DAILY) == exact(daily(0, 4))


def test_a_backfill_may_end_with_the_calendar(place: Bench) -> None:
    place.seed("postgres", daily(0), DAILY)
    window = Window(start=dt.date(9999, 12, 29), stop=dt.date.max)
    job = place.job(PAIR, Strategy.BACKFILL, schema=DAILY, window=window, backfill_id="b1", chunk_days=7)
    assert run(job).written == 0
