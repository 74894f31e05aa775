"""What crosses a process border: jobs, facts, service addresses. JSON, so an engine can be any program."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

from pydantic import Field, SecretStr, model_validator

from .model import Case, Evolution, Frozen, ServiceRecord, Strategy
from .secrets import Scrubber


def scrub(text: str, urls: Iterable[SecretStr]) -> str:
    """`text` with every password, key and secret of `urls` masked, in the forms in which an address may spell them."""
    return Scrubber(url.get_secret_value() for url in urls)(text)


def slot_name(namespace: str, table: str) -> str:
    """How the harness names the replication slot and the publication of a table (`Job.slot`)."""
    return f"{namespace}_{table}"


class Endpoint(Frozen):
    """One side of a job.

    `url` forms: `postgresql://user:password@host:port/database`, `clickhouse://user:password@host:port` (HTTP port;
    `clickhouses://` for TLS), `s3://key:secret@host:port/bucket` (path style HTTP; `s3s://` for TLS;
    `?region=` optional, default us-east-1; in `Job.staging` also `?inside=host:port`, where the sink's server finds
    it, if that is elsewhere), `kafka://user:password@host:port,host:port` (`kafkas://` for TLS; `?sasl=`,
    `?ca=` and `?registry=` optional; the last one is the percent-encoded address of a Schema Registry,
    `http://user:password@host:port`, and with it events are Avro, else JSON), `http://user:password@host:port` (the
    API). In a simulated run `memory:///folder?family=name`, for any family.
    `namespace` is the Postgres schema, ClickHouse database, S3 key prefix or prefix of topics that belongs to this side
    of this case: an engine may create what it needs in there, and nowhere else. `table` is a name inside of it.
    On MinIO a table is the set of Parquet objects below `{namespace}/{table}/`, on Kafka what the events of the topic
    `{namespace}.{table}` leave; see `docs/architecture.md`.
    """

    family: str
    url: SecretStr
    namespace: str
    table: str


class Window(Frozen):
    """The days `start` ≤ day < `stop` of the partition column."""

    start: dt.date
    stop: dt.date

    @model_validator(mode="after")
    def _not_empty(self) -> Window:
        if self.start >= self.stop:
            raise ValueError(f"the window from {self.start} to {self.stop} has no day")
        return self


class Job(Frozen):
    """What an engine is asked to move, once. `model_dump_json` masks secrets; `to_json` does not."""

    case_id: str
    run_id: str
    strategy: Strategy
    mode: Literal["load", "reconcile"] = "load"
    """`reconcile`: snapshot reconciliation, after which the sink equals the source (act 4, DESIGN §3)."""
    source: Endpoint
    sink: Endpoint
    key: tuple[str, ...]
    """Columns that tell the source's rows apart, in the key's order: an integer, a text, or several columns."""
    cursor: str
    """Column with the watermark; extraction takes rows with cursor ≥ watermark."""
    partition: str
    """Column of dates by which `replace`, `partition_replace` and `backfill` cut the table."""
    window: Window | None = None
    """`replace` and `backfill`: the days that are rewritten from the source. None: the whole table."""
    partitions: tuple[dt.date, ...] | None = None
    """`partition_replace`: the days that are rewritten whole. None: every day that the source has."""
    empty_partition: Literal["clear", "keep"] = "clear"
    """`partition_replace`: what becomes of a named partition of which the source has no row."""
    backfill_id: str = ""
    """`backfill`: the same id goes on at the first chunk that is not finished, another one loads again."""
    chunk_days: int = Field(gt=0, default=1)
    """`backfill`: days of one chunk, each committed by itself."""
    slot: str = ""
    """`cdc` from Postgres: the name for the replication slot and the publication, which an engine makes and keeps.
    Whoever made the job removes them when the case is over."""
    state_table: str
    """Name for the engine's state inside the sink's namespace: a table, or an object beside the data."""
    batch_rows: int = Field(gt=0)
    staging: Endpoint | None = None
    """Where the rows are to be staged as files, from which the sink's server loads them; None: they go directly.
    What an engine puts below `{namespace}/`, it removes before it ends; an empty mark of a folder may stay."""

    def to_json(self) -> str:
        """JSON with the secrets in clear, for the engine's standard input only."""
        data = json.loads(self.model_dump_json())
        for side, endpoint in (("source", self.source), ("sink", self.sink), ("staging", self.staging)):
            if endpoint is not None:
                data[side]["url"] = endpoint.url.get_secret_value()
        return json.dumps(data, ensure_ascii=False)


class RunFacts(Frozen):
    """What an engine says that it did. Claims: the oracle checks them.

    Counts are rows. `state_before` and `state_after` are the engine's state as canonical text
    (empty: no state yet); equal texts mean an equal state.
    """

    read: int = Field(ge=0, lt=2**63)
    written: int = Field(ge=0, lt=2**63)
    inserted: int | None = Field(ge=0, lt=2**63, default=None)
    updated: int | None = Field(ge=0, lt=2**63, default=None)
    deleted: int | None = Field(ge=0, lt=2**63, default=None)
    unchanged: int | None = Field(ge=0, lt=2**63, default=None)
    state_before: str = ""
    state_after: str = ""
    seconds: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(default_factory=dict)
    """Phase name → seconds, e.g. `stage`, `apply`, `state`."""


class HistoryColumns(Frozen):
    """What an engine calls the columns that `scd2` adds; None where it has no such column."""

    valid_from: str = "__dpone__valid_from_at"
    valid_to: str = "__dpone__valid_to_at"
    """NULL in a version that is current."""
    is_current: str | None = "__dpone__is_current"
    row_hash: str | None = "__dpone__row_hash"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that there are."""
        return tuple(filter(None, (self.valid_from, self.valid_to, self.is_current, self.row_hash)))


class Support(Frozen):
    """An engine's answer for one case: supported, or why not."""

    status: Literal["supported", "unsupported", "not implemented yet"]
    reason: str = ""
    own_columns: tuple[str, ...] = ()
    """Globs of columns that the engine adds to the sink, e.g. `_dlt_*`; they are not compared."""
    history: HistoryColumns = HistoryColumns()
    """`scd2`: the names of the interval's columns."""
    evolution: dict[Evolution, Literal["follows", "freezes", "refuses"]] = Field(default_factory=dict)
    """What the engine does when the source's columns change. It is held to that; of what it says nothing, nothing is
    tried. It `follows`: it changes the sink's columns, too. It `freezes`: it goes on with the columns and types of the
    sink, and if one of them can't hold a value it raises and leaves the sink alone. It `refuses`: it raises and leaves
    the sink alone."""
    via: tuple[str, ...] = ()
    """Families in which the engine can stage the rows of the case (`Case.via`, `Job.staging`)."""
    keeps_apart: bool = False
    """Of two runs of one job at once the second one waits or is refused; only then that is tried."""


SUPPORTED = Support(status="supported")


class Engine(Protocol):
    """The system under test (DESIGN §6)."""

    @property
    def name(self) -> str:
        """Short name for reports, e.g. `native`."""
        ...

    def supports(self, case: Case) -> Support:
        """Say before any run whether `case` can be moved; a pure function of the case."""
        ...

    def run(self, job: Job) -> RunFacts:
        """Move what the job says, once. Raises on failure; never returns facts for a load that did not happen."""
        ...


class ServiceInfo(Frozen):
    """A running service: its address with credentials, and its publishable record."""

    record: ServiceRecord
    url: SecretStr
    log: str = ""
    """Path of the log file, or empty."""
    inside: str = ""
    """`host:port` by which the run's other containers reach it, if it is a container itself."""
