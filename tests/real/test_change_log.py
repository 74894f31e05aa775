"""Change data capture from Postgres on real services: nothing lost and nothing twice, wherever a run dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from pytest_dpone.core.model import Strategy
from pytest_dpone.core.wire import Job, ServiceInfo, slot_name
from pytest_dpone.engines.mutants.parts.log import ReleasesEarly
from pytest_dpone.engines.native import postgres_log
from pytest_dpone.errors import EngineFailed

from .test_native import KILLED, Bench, Boom, dies_at, exact, killed, news, run

pytestmark = pytest.mark.real

SINKS = ("postgres", "clickhouse")
BIG = "".join(f"{number:x}" for number in range(20_000))
"""Text that is too long to lie in the row."""


@pytest.fixture
def bench(services: dict[str, ServiceInfo]) -> Iterator[Bench]:
    made = Bench(services)
    made.seed("postgres", news((1, 1, BIG), (2, 2, BIG + "2"), (3, 3, "c")))
    made.sql("postgres", 'ALTER TABLE "{ns}".src ALTER note SET STORAGE EXTERNAL')
    try:
        yield made
    finally:
        made.close()


def job_to(bench: Bench, sink: str, **more: object) -> Job:
    return bench.job(("postgres", sink), Strategy.CDC, slot=slot_name(bench.name, "src"), **more)


def held(bench: Bench, sink: str) -> list[tuple[str, str]]:
    """Key and the note's end of each row of the sink."""
    return [(row[0], row[2].strip("'")[-6:]) for row in map(_texts, bench.held(sink))]


def _texts(row: tuple[object, ...]) -> list[str]:
    return [str(value) for value in row]


def shown(*rows: tuple[int, str]) -> list[tuple[str, str]]:
    return sorted((str(key), note[-6:]) for key, note in rows)


def slot(bench: Bench) -> list[Any]:
    name = slot_name(bench.name, "src")
    query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'"
    return [row[0] for row in bench.sql("postgres", query.format(name))]


def change(bench: Bench) -> None:
    """Values that the log does not have, a key that changes with such a value, a row that goes, one that comes."""
    for statement in (
        "UPDATE {t} SET score = 2 WHERE id = 1",
        "UPDATE {t} SET id = 20 WHERE id = 2",
        "UPDATE {t} SET score = 3 WHERE id = 20",
        "DELETE FROM {t} WHERE id = 3",
    ):
        bench.sql("postgres", statement.replace("{t}", '"{ns}".src'))
    bench.add("postgres", news((4, 4, "d")))


CHANGED = shown((1, BIG), (20, BIG + "2"), (4, "d"))


@pytest.mark.parametrize("sink", SINKS)
def test_what_is_written_while_the_first_load_reads_comes_with_the_log(bench: Bench, sink: str) -> None:
    def meanwhile(_job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield next(batches)
        change(bench)
        yield from batches

    first = run(job_to(bench, sink), tap=meanwhile)
    assert (first.read, first.written) == (3, 3)
    assert held(bench, sink) == shown((1, BIG), (2, BIG + "2"), (3, "c"))
    then = run(job_to(bench, sink))
    assert (then.state_before, then.deleted, then.inserted, then.updated) == (first.state_after, 2, 2, 1)
    assert held(bench, sink) == CHANGED
    assert run(job_to(bench, sink)).written == 0


@pytest.mark.parametrize("sink", SINKS)
def test_a_table_that_is_emptied(bench: Bench, sink: str) -> None:
    run(job_to(bench, sink))
    change(bench)
    bench.sql("postgres", 'TRUNCATE "{ns}".src')
    run(job_to(bench, sink))
    assert held(bench, sink) == []
    bench.add("postgres", news((1, 1, "new"), (5, 1, "e")))
    run(job_to(bench, sink))
    assert held(bench, sink) == shown((1, "new"), (5, "e"))


FIRST = [("postgres", "staged"), ("clickhouse", "staged"), ("clickhouse", "pending")]


@pytest.mark.parametrize("process", [False, True], ids=["error", "kill"])
@pytest.mark.parametrize(("sink", "moment"), FIRST)
def test_a_slot_without_a_state_is_made_anew(bench: Bench, sink: str, moment: str, process: bool) -> None:
    die(job_to(bench, sink), moment, process=process)
    (before,) = slot(bench)
    change(bench)
    loaded = run(job_to(bench, sink))
    assert (loaded.state_before, loaded.read) == ("", 3)
    assert slot(bench) != [before]
    assert held(bench, sink) == CHANGED


AFTER = {"clickhouse": "committing", "postgres": "applied"}
"""From which moment on the data of a run that dies counts."""
LATER = [
    *(("postgres", moment) for moment in ("followed", "staged", "committing", "applied")),
    *(("clickhouse", moment) for moment in ("followed", "staged", "pending", "committing", "applied")),
]


@pytest.mark.parametrize("process", [False, True], ids=["error", "kill"])
@pytest.mark.parametrize(("sink", "moment"), LATER)
def test_a_run_that_dies_is_repeated_without_loss(bench: Bench, sink: str, moment: str, process: bool) -> None:
    loaded = run(job_to(bench, sink))
    before = slot(bench)
    change(bench)
    die(job_to(bench, sink), moment, process=process)
    assert slot(bench) == before, "the log is kept until the sink has committed"
    bench.sql("postgres", 'UPDATE "{ns}".src SET score = 4 WHERE id = 20')
    again = run(job_to(bench, sink))
    assert (again.state_before == loaded.state_after) is (moment not in ("applied", AFTER[sink]))
    assert held(bench, sink) == CHANGED
    assert [row[4] for row in bench.held(sink)] == ["2.0", "4.0", "0.5"]
    assert run(job_to(bench, sink)).written == 0
    assert bench.names(sink) - {"src"} == {"dst", "_dpone_state"}


def die(job: Job, moment: str, *, process: bool) -> None:
    """Let a run die at `moment`: of an error, or of SIGKILL."""
    if not process:
        with pytest.raises(Boom):
            run(job, moment=dies_at(moment), sink=killed)
        return
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, moment], input=job.to_json(), text=True, capture_output=True, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_log_that_was_let_go_too_early_is_seen(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    change(bench)
    with pytest.raises(Boom):
        run(job_to(bench, "postgres"), source=ReleasesEarly, moment=dies_at("staged"))
    with pytest.raises(EngineFailed, match=r"the slot .* has the log from .* on .*, the state is at"):
        run(job_to(bench, "postgres"))


def test_a_slot_that_is_gone_is_seen(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    bench.sql("postgres", f"SELECT pg_drop_replication_slot('{slot_name(bench.name, 'src')}')")
    with pytest.raises(EngineFailed, match="there is a state and no slot"):
        run(job_to(bench, "postgres"))


def test_a_table_that_was_made_anew_is_seen(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    bench.sql("postgres", 'CREATE TABLE "{ns}".new (LIKE "{ns}".src INCLUDING ALL)')
    bench.sql("postgres", 'DROP TABLE "{ns}".src')
    bench.sql("postgres", 'ALTER TABLE "{ns}".new RENAME TO src')
    with pytest.raises(EngineFailed, match=r"does not have .* any more"):
        run(job_to(bench, "postgres"))


def test_columns_that_change_are_seen(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    bench.add("postgres", news((4, 4, "d")))
    bench.sql("postgres", 'ALTER TABLE "{ns}".src ALTER score TYPE real')
    with pytest.raises(EngineFailed, match="the source now needs"):
        run(job_to(bench, "postgres"))
    bench.sql("postgres", 'ALTER TABLE "{ns}".dst ALTER score TYPE real')
    with pytest.raises(EngineFailed, match=r"in the log are .*double precision.* and the table has .*real"):
        run(job_to(bench, "postgres"))


@pytest.mark.parametrize("sink", SINKS)
def test_a_column_more_is_followed(bench: Bench, sink: str) -> None:
    run(job_to(bench, sink))
    change(bench)
    bench.sql("postgres", 'ALTER TABLE "{ns}".src ADD more text')
    bench.sql("postgres", """UPDATE "{ns}".src SET more = 'x' WHERE id = 4""")
    run(job_to(bench, sink))
    assert held(bench, sink) == CHANGED
    table = "`{ns}`.dst FINAL" if sink == "clickhouse" else '"{ns}".dst'
    found = bench.sql(sink, f"SELECT id, more FROM {table} ORDER BY id")
    assert [tuple(row) for row in found] == [(1, None), (4, "x"), (20, None)]


def test_a_column_more_with_a_default_is_seen(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    change(bench)
    bench.sql("postgres", """ALTER TABLE "{ns}".src ADD more text DEFAULT 'x'""")
    with pytest.raises(EngineFailed, match=r"in the log are .* and the table has .*more"):
        run(job_to(bench, "postgres"))


def test_a_key_that_the_log_does_not_tell_is_seen(bench: Bench) -> None:
    bench.sql("postgres", 'CREATE UNIQUE INDEX other ON "{ns}".src (at)')
    bench.sql("postgres", 'ALTER TABLE "{ns}".src REPLICA IDENTITY USING INDEX other')
    run(job_to(bench, "postgres"))
    change(bench)
    with pytest.raises(EngineFailed, match="id is not in the REPLICA IDENTITY of"):
        run(job_to(bench, "postgres"))


@pytest.mark.parametrize("sink", SINKS)
def test_the_whole_row_as_identity(bench: Bench, sink: str) -> None:
    bench.sql("postgres", 'ALTER TABLE "{ns}".src REPLICA IDENTITY FULL')
    run(job_to(bench, sink))
    change(bench)
    run(job_to(bench, sink))
    assert held(bench, sink) == CHANGED


@pytest.mark.parametrize("sink", SINKS)
def test_a_row_that_the_sink_has_lost_is_seen(bench: Bench, sink: str) -> None:
    run(job_to(bench, sink))
    table = "`{ns}`.dst" if sink == "clickhouse" else '"{ns}".dst'
    bench.sql(sink, f"DELETE FROM {table} WHERE id = 1")
    change(bench)
    with pytest.raises(EngineFailed, match="changes 1 rows that the table 'dst' does not hold"):
        run(job_to(bench, sink))


def test_a_slot_that_waits_too_long_tells_for_whom(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_log, "PATIENCE", 0.5)
    url = bench.catalogs["postgres"].endpoint(bench.name, "src").url.get_secret_value()
    with psycopg.connect(url) as other:
        other.execute(f'UPDATE "{bench.name}".src SET score = 9 WHERE id = 1')
        with pytest.raises(EngineFailed, match=r"waited 0\.5 seconds for open transactions") as caught:
            run(job_to(bench, "postgres"))
        assert f"process {other.info.backend_pid} " in str(caught.value)
        assert "SET score = 9" in str(caught.value)
    assert run(job_to(bench, "postgres")).written == 3


def test_the_catalog_removes_a_slot_that_is_in_use(bench: Bench) -> None:
    url = bench.catalogs["postgres"].endpoint(bench.name, "src").url.get_secret_value()
    with psycopg.connect(url) as other:
        other.execute("CREATE TEMP TABLE open_transaction (id int)")
        ended: list[BaseException] = []

        def create() -> None:
            try:
                run(job_to(bench, "postgres"))
            except BaseException as error:
                ended.append(error)

        waiting = threading.Thread(target=create)
        waiting.start()
        while not slot(bench):
            waiting.join(0.05)
            assert waiting.is_alive()
        bench.catalogs["postgres"].close(bench.name)
        waiting.join(30)
    assert isinstance(ended[0], EngineFailed)
    name = slot_name(bench.name, "src")
    assert slot(bench) == []
    assert bench.sql("postgres", f"SELECT 1 FROM pg_publication WHERE pubname = '{name}'") == []


def test_other_slots_are_left_alone(bench: Bench) -> None:
    other = f"{slot_name(bench.name, 'src')}_of_somebody"
    bench.sql("postgres", f"SELECT pg_create_logical_replication_slot('{other}', 'pgoutput')")
    try:
        run(job_to(bench, "postgres"))
        bench.catalogs["postgres"].close(bench.name)
        assert slot(bench) == []
        assert bench.sql("postgres", f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{other}'") == [(1,)]
    finally:
        bench.sql("postgres", f"SELECT pg_drop_replication_slot('{other}')")


def test_rows_are_what_they_were(bench: Bench) -> None:
    run(job_to(bench, "postgres"))
    more = news((5, 5, "\\N\t'\"🦆"), (6, 6, None), (7, 7, ""))
    bench.add("postgres", more)
    run(job_to(bench, "postgres"))
    assert bench.held("postgres")[3:] == sorted(exact(more))
