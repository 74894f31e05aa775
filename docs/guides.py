"""The generated guides: what each strategy leaves, played on a small table, and a page per source and sink."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from pytest_dpone.core.contracts import Contract, default_contracts
from pytest_dpone.core.kinds import KINDS
from pytest_dpone.core.matrix import build_matrix
from pytest_dpone.core.model import Case, Strategy
from pytest_dpone.core.own import OTHER
from pytest_dpone.core.registry import STAGED, default_registry
from pytest_dpone.core.wire import Endpoint, Job, Window
from pytest_dpone.engines.mock import MockEngine
from pytest_dpone.engines.mock.tables import Content, TableFile

Row = tuple[int, str, str, date]
Rows = Sequence[Row]

FIRST, SECOND, THIRD = date(2030, 3, 1), date(2030, 3, 2), date(2030, 3, 3)
BEFORE: Rows = (
    (1, "tea", "09:00", FIRST),
    (2, "milk", "09:05", FIRST),
    (3, "bread", "09:05", SECOND),
    (4, "salt", "09:10", SECOND),
)
AFTER: Rows = (
    (2, "oat milk", "09:20", FIRST),
    (3, "rye bread", "09:07", SECOND),
    (4, "salt", "09:10", SECOND),
    (5, "rice", "09:10", THIRD),
)
COLUMNS = ("id", "item", "changed", "day")

TOLD = {
    Strategy.FULL_REFRESH: "The sink is the source, whole.",
    Strategy.INCREMENTAL_APPEND: (
        "Rows whose cursor is at least the watermark, 09:10, and that are new or changed, are added. 2 is there twice. "
        "3 was committed late with an older cursor: a declared miss. 1 stays."
    ),
    Strategy.INCREMENTAL_MERGE: (
        "The same rows, once per key. 3 is missed, and 1 stays, until a snapshot reconciliation: the sink equals the "
        "source then."
    ),
    Strategy.REPLACE: "The job names a window, here the days from 2030-03-01 to 2030-03-02, without the second one.",
    Strategy.PARTITION_REPLACE: "The job names partitions, here the day 2030-03-02.",
    Strategy.SNAPSHOT_DIFF: "All rows are compared: 1 inserted, 2 updated, 1 deleted, 1 unchanged.",
    Strategy.SCD2: (
        "Each change closes a version and opens another. `from` and `to` say at which of the two loads; the real "
        "columns hold moments."
    ),
    Strategy.BACKFILL: (
        "The job names days, here 2030-03-01 and 2030-03-02; each is a chunk that is committed by itself "
        "with the state, from which the same id goes on after a kill. A repeat writes no row and leaves the state."
    ),
    Strategy.XMIN: (
        "Rows that a later transaction has written are merged, whatever their cursor says: 3 is not missed. 1 stays "
        "until a reconciliation."
    ),
    Strategy.CDC: "The log of changes is replayed.",
}
JOBS: Mapping[Strategy, Mapping[str, object]] = {
    Strategy.REPLACE: {"window": Window(start=FIRST, stop=SECOND)},
    Strategy.PARTITION_REPLACE: {"partitions": (SECOND,)},
    Strategy.BACKFILL: {"window": Window(start=FIRST, stop=THIRD), "backfill_id": "second"},
}
FIRST_JOBS: Mapping[Strategy, Mapping[str, object]] = {
    Strategy.BACKFILL: {"window": Window(start=FIRST, stop=date(2030, 3, 4)), "backfill_id": "first"}
}

STRATEGIES_PAGE = """\
# Strategies

A load strategy is a promise about what the sink holds after a load. Below each is played on one small table: it is
loaded, then the source changes, then it is loaded again. The tables come from the engine of simulated runs, which all
checks of the oracle hold for. [Concepts](concepts.md#what-each-strategy-must-leave) has the rules in a table, and
[the matrix](matrix.md) says where a strategy makes sense.

`id` is the key, `changed` the cursor, `day` the partition.
"""


def strategies_page() -> str:
    """Each strategy with the sink after the change."""
    lines = [STRATEGIES_PAGE, "## The source", "", *side_by_side(), ""]
    lines += [
        "1 was deleted, 2 and 3 were updated, 3 in a transaction that began before the first load ended; 5 is new and",
        "has the cursor of 4, the greatest of the first load. After that load every sink holds the rows of *before*.",
    ]
    for strategy in Strategy:
        lines += ["", f"## {strategy}", "", TOLD[strategy], "", *played(strategy)]
    return "\n".join(lines) + "\n"


def side_by_side() -> Iterator[str]:
    """The source before and after."""
    old, new = ({row[0]: row for row in rows} for rows in (BEFORE, AFTER))
    yield "| id | before | after |"
    yield "|---|---|---|"
    for key in sorted(old | new):
        cells = [", ".join(map(str, row[1:])) if row else "" for row in (old.get(key), new.get(key))]
        yield f"| {key} | {cells[0]} | {cells[1]} |"


def played(strategy: Strategy) -> Iterator[str]:
    """The sink after the second load, as a table; what was not there after the first one is bold."""
    with tempfile.TemporaryDirectory() as folder:
        first = job(Path(folder), strategy, **FIRST_JOBS.get(strategy, {}))
        seed(first, BEFORE, commits=(1,) * len(BEFORE))
        TableFile(first.sink, state=first.state_table).path.parent.mkdir()
        MockEngine().run(first)
        loaded = held(first)
        seed(first, AFTER, commits=(2, 2, 1, 2))
        MockEngine().run(job(Path(folder), strategy, **JOBS.get(strategy, {})))
        rows = held(first)
    moments = sorted({row["__dpone__valid_from_at"] for row in rows}) if strategy is Strategy.SCD2 else []
    heads = [*COLUMNS, *(("from", "to") if moments else ())]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = [str(row[name]) for name in COLUMNS]
        if moments:
            ends = (row["__dpone__valid_from_at"], row["__dpone__valid_to_at"])
            cells += [f"load {moments.index(end) + 1}" if end else "" for end in ends]
        new = row not in loaded
        yield f"| {' | '.join(f'**{cell}**' if new and cell else cell for cell in cells)} |"


def job(folder: Path, strategy: Strategy, **fields: object) -> Job:
    """A job of the strategy between two tables below `folder`."""

    def end(namespace: str) -> Endpoint:
        url = SecretStr(f"memory://{folder}?family=postgres")
        return Endpoint(family="postgres", url=url, namespace=namespace, table="goods")

    case = Case("postgres", "postgres", strategy)
    facts = {
        "case_id": case.case_id,
        "run_id": "guide",
        "strategy": strategy,
        "source": end("src"),
        "sink": end("dst"),
        "key": ("id",),
        "cursor": "changed",
        "partition": "day",
        "state_table": "state",
        "batch_rows": 2,
    }
    return Job.model_validate({**facts, **fields})


def seed(given: Job, rows: Rows, *, commits: Sequence[int]) -> None:
    """The source holds `rows`; `commits` says for each which commit wrote it."""
    columns = list(zip(*rows, strict=True))
    kinds = (pa.int64(), pa.string(), pa.string(), pa.date32())
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    file = TableFile(given.source, state=given.state_table)
    file.path.parent.mkdir(exist_ok=True)
    content = Content(pa.table(arrays, list(COLUMNS)), pa.chunked_array([pa.array(commits, pa.int64())]), max(commits))
    file.put(content, batch_rows=2)


def held(given: Job) -> list[dict[str, object]]:
    """What the sink holds, in the order of id and cursor."""
    content = TableFile(given.sink, state=given.state_table).content()
    assert content is not None
    return sorted(content.rows.to_pylist(), key=lambda row: (row["id"], row["changed"]))


def pair_pages() -> Mapping[str, str]:
    """Path below docs/ → text: one page per source and sink, and their list."""
    registry = default_registry()
    matrix = build_matrix(registry)
    why = {row.case: row.reason for row in matrix.excluded}
    pairs = list(dict.fromkeys((case.source, case.sink) for case in (*matrix.planned, *why)))
    index = ["# From a source to a sink", "", "A page per pair; generated from the registry and the contracts.", ""]
    index += [f"- [{source} → {sink}]({source}_to_{sink}.md)" for source, sink in pairs]
    pages = {"pairs/index.md": "\n".join(index) + "\n"}
    for source, sink in pairs:
        pages[f"pairs/{source}_to_{sink}.md"] = "\n".join(pair_page(source, sink, why)) + "\n"
    return pages


def pair_page(source: str, sink: str, why: Mapping[Case, str]) -> Iterator[str]:
    """Strategies, values, and what to look at when a case is red."""
    yield f"# {source} → {sink}"
    yield ""
    yield f"Play the pair: `pytest --dpone-source={source} --dpone-sink={sink}`. This page is generated."
    yield ""
    yield "## Strategies"
    yield ""
    yield "| strategy | case |"
    yield "|---|---|"
    for strategy in Strategy:
        case = Case(source, sink, strategy)
        yield f"| {strategy} | {f'excluded: {why[case]}' if case in why else f'`{case.case_id}`'} |"
    yield ""
    if sink in STAGED:
        staged = Case(source, sink, Strategy.FULL_REFRESH, "minio").case_id
        yield f"`--dpone-staging=minio` plans the same over staged objects, as `{staged}` and so on: see"
        yield "[the matrix](../matrix.md#rows-that-are-staged-on-their-way)."
        yield ""
    yield "## Values"
    yield ""
    yield from _values(source, sink)
    yield ""
    yield "## If a case is red"
    yield ""
    yield from (f"- {text}" for text in _looks(source, sink))


def _values(source: str, sink: str) -> Iterator[str]:
    contracts = default_contracts()
    kinds = [kind for kind in (*KINDS, "decimal") if contracts.is_source_kind(source, kind)]
    own = [row.kind for row in contracts.rows if row.family == source and ":" in row.kind and row.kind != OTHER]
    exact = [kind for kind in kinds if _plain(sink, kind)]
    if exact:
        yield f"Kept as they are: {', '.join(f'`{kind}`' for kind in exact)}."
        yield ""
    if own:
        other = "in the same type or as the server's text" if source == sink else "as the server's text of them"
        yield f"{len(own)} types of {source}'s own are kept {other}: see [the contracts](../contracts.md#{source})."
        yield ""
    rows = [row for kind in kinds if kind not in exact for row in _promises(sink, kind)]
    if not rows:
        return
    yield f"What {sink} does to the others:"
    yield ""
    yield "| kind | values | how | column types | note |"
    yield "|---|---|---|---|---|"
    for row in rows:
        types = ", ".join(f"`{name}`" for name in row.native) or "–"
        how = f"{row.how}{f': {row.rule}' if row.rule else ''}{' by an error' if row.error else ''}".replace("_", " ")
        yield f"| `{row.kind}` | {row.feature.replace('_', ' ') or 'all'} | {how} | {types} | {row.note} |"


def _plain(family: str, kind: str) -> bool:
    found = _promises(family, kind)
    return bool(found) and all(row.how == "exact" for row in found)


def _promises(family: str, kind: str) -> list[Contract]:
    return [row for row in default_contracts().rows if (row.family, row.kind) == (family, kind)]


_SOURCE_LOOKS = {
    "postgres": "Rows whose transaction was open during the load have an older cursor, and a greater `xmin`.",
    "mssql": "`datetime2(7)` has a seventh digit; a client that rounds moves rows over the watermark.",
    "clickhouse": "A table that merges in the background must be read with FINAL, other engines must not.",
    "kafka": "A source is read up to its last stable offset: an open transaction hides what comes after it.",
    "minio": "A table is what its manifest lists; objects beside it are of a load that was not finished.",
    "api": "Pages may answer 429 or 500, and a token may expire: see [Tables behind an API](../api.md).",
}
_SINK_LOOKS = {
    "postgres": "A NUL byte in a text is refused by the server; so are dates that its types don't have.",
    "mssql": "Text keys are compared by the collation of the column; trailing spaces count in no comparison.",
    "clickhouse": "There is no transaction over several statements: rows may be visible before the state is kept.",
    "kafka": "The table is what the events fold into: look at key, order and tombstones with the checks `events.…`.",
    "minio": "Objects become a table when the manifest is put: a load without one has changed nothing.",
}


def _looks(source: str, sink: str) -> Iterator[str]:
    yield f"Source {source}: {_SOURCE_LOOKS[source]}"
    yield f"Sink {sink}: {_SINK_LOOKS[sink]}"
    yield "[Read a failure](../read-a-failure.md) says what each check means and how to keep the tables for a look."
