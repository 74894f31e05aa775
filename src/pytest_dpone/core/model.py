"""The words of the product as values: case, acts, verdicts, records."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_VIA = "_via_"
SCHEMA_BEHAVIOR = "pytest-dpone/case-behavior/v1"


class Strategy(StrEnum):
    """The load strategies, in the order in which the matrix lists them (DESIGN §4)."""

    FULL_REFRESH = "full_refresh"
    INCREMENTAL_APPEND = "incremental_append"
    INCREMENTAL_MERGE = "incremental_merge"
    REPLACE = "replace"
    PARTITION_REPLACE = "partition_replace"
    SNAPSHOT_DIFF = "snapshot_diff"
    SCD2 = "scd2"
    BACKFILL = "backfill"
    XMIN = "xmin"
    CDC = "cdc"


class Verdict(StrEnum):
    """What a record says. `not_run` always has a `NotRun` reason and never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


class NotRun(StrEnum):
    """Why a planned case has no result (DESIGN §1)."""

    UNAVAILABLE = "unavailable"
    DESELECTED = "deselected"
    CRASHED = "crashed"
    SKIPPED = "skipped"
    BUDGET = "budget"
    SERVICE_DIED = "service died"
    NOT_IMPLEMENTED = "not implemented yet"

    @property
    def tolerated(self) -> bool:
        """If a feature branch may live with it: `local_live` accepts it, a release profile does not (DESIGN §8)."""
        return self in (NotRun.UNAVAILABLE, NotRun.NOT_IMPLEMENTED)


class ActName(StrEnum):
    """The acts of a case, in playing order (DESIGN §3)."""

    PROVISION = "provision"
    LOAD = "load"
    CHANGE = "change"
    REPEAT = "repeat"
    RETURN = "return"
    """scd2: keys that the source had lost come back."""
    LOG = "log"
    """cdc: what only a log tells: a key that changes, a TRUNCATE."""
    RECONCILE = "reconcile"
    REJECT = "reject"
    """Values that the sink can't hold must raise the declared error (DESIGN §5)."""
    CRASH = "crash"
    EVOLVE = "evolve"


class KeyForm(StrEnum):
    """What the key that a case declares is made of (DESIGN §5), in the order in which the cases take turns."""

    INTEGER = "integer"
    TEXT = "text"
    COMPOSITE = "composite"
    """A text and an integer, neither of which is unique alone."""


class Evolution(StrEnum):
    """How the columns of a source change between two runs (act 6, DESIGN §3)."""

    ADD = "add"
    """A column more, which may be NULL."""
    WIDEN = "widen"
    DROP = "drop"
    RENAME = "rename"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One cell of the matrix: source × sink × strategy, and the way between them if it is not the direct one."""

    source: str
    sink: str
    strategy: Strategy
    via: str = ""
    """The family in which rows are staged as files on their way, e.g. `minio`; empty: they go directly."""

    @classmethod
    def of_id(cls, case_id: str) -> Case | None:
        """The case of an id; None if it is the id of none."""
        pair, _, strategy = case_id.rpartition("__")
        source, _, rest = pair.partition("_to_")
        sink, way, via = rest.partition(_VIA)
        if not (source and sink and bool(way) == bool(via) and strategy in set(Strategy)):
            return None
        return cls(source, sink, Strategy(strategy), via)

    @property
    def case_id(self) -> str:
        """`{pair}__{strategy}`, e.g. `postgres_to_clickhouse__incremental_merge`."""
        return f"{self.pair}__{self.strategy.value}"

    @property
    def pair(self) -> str:
        """`{source}_to_{sink}`, and `_via_{via}` behind it if the way is not the direct one."""
        return f"{self.source}_to_{self.sink}" + (f"{_VIA}{self.via}" if self.via else "")

    @property
    def end(self) -> str:
        """The sink for a person, with the way to it if that is not the direct one."""
        return f"{self.sink} via {self.via}" if self.via else self.sink


class Frozen(BaseModel):
    """Base of all records: immutable, no unknown keys, no NaN or Infinity in or out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _spell_surrogates(cls, value: object) -> object:
        """Half of a surrogate pair, which foreign text may hold, can't be written as UTF-8: it is spelled out."""
        if isinstance(value, str) and not value.isascii():
            return value.encode("utf-8", "backslashreplace").decode()
        return value


Scalar = bool | int | float | str | None


class Check(Frozen):
    """One comparison that was made. `expected` and `actual` never come from the same code."""

    name: str
    passed: bool
    expected: Scalar = None
    actual: Scalar = None
    detail: str = ""


class RowDifference(Frozen):
    """One row that differs, shown for a person; values are text with types and invisible characters made visible."""

    kind: Literal["missing", "extra", "changed", "duplicated"]
    key: dict[str, str]
    columns: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Column → (expected, actual); only the columns that differ. Empty for missing, extra and duplicated rows."""


class DiffReport(Frozen):
    """What the comparison of two tables found; counts are rows, `columns` counts changed rows per column."""

    expected_rows: int = Field(ge=0)
    actual_rows: int = Field(ge=0)
    missing: int = Field(ge=0, default=0)
    extra: int = Field(ge=0, default=0)
    changed: int = Field(ge=0, default=0)
    duplicated: int = Field(ge=0, default=0)
    columns: dict[str, int] = Field(default_factory=dict)
    samples: tuple[RowDifference, ...] = ()

    @property
    def equal(self) -> bool:
        """True if both sides hold the same rows as multisets."""
        return not (self.missing or self.extra or self.changed or self.duplicated)


class ActRecord(Frozen):
    """What one act planned, what was observed, and which checks judged it."""

    name: ActName
    passed: bool
    rows: int = Field(ge=0, default=0)
    """Rows that the sink must hold after the act (the source, for `provision`)."""
    engine_seconds: float = Field(ge=0, default=0.0)
    harness_seconds: float = Field(ge=0, default=0.0)
    planned: dict[str, Scalar] = Field(default_factory=dict)
    observed: dict[str, Scalar] = Field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    diff: DiffReport | None = None
    error: str = ""


class ServiceRecord(Frozen):
    """What served a run: no address and no credential, so it may be published (DESIGN §7)."""

    name: str
    provider: str
    product: str
    version: str
    """As the server itself says it."""
    fidelity: Literal["real", "engine", "emulated"]
    emulated: str = ""
    """What is emulated, for fidelities other than `real`."""
    image: str = ""
    digest: str = ""


class KnownFailure(Frozen):
    """What a project says of a case that it knows to fail (`core.known`)."""

    reason: str
    owner: str
    expires: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    """The last day on which it counts."""

    def __str__(self) -> str:
        return f"{self.reason} ({self.owner}, until {self.expires})"


class CaseRecord(Frozen):
    """What one case left: planned acts, observed facts, verdict; `record` in `matrix/<case_id>__behavior.json`."""

    schema_: str = Field(default=SCHEMA_BEHAVIOR, alias="schema")
    case_id: str
    source: str
    sink: str
    strategy: Strategy
    via: str = ""
    """Where the rows are staged on their way; empty: nowhere."""
    verdict: Verdict
    reason: NotRun | None = None
    detail: str = ""
    """For people: why it failed or did not run, in one line."""
    engine: str = ""
    seed: int = 0
    rows: int = Field(ge=0, default=0)
    acts: tuple[ActRecord, ...] = ()
    services: tuple[ServiceRecord, ...] = ()
    rerun: str = ""
    seconds: float = Field(ge=0, default=0.0)
    finished_at: str = ""
    """UTC, RFC 3339; empty for cases that did not run."""
    known: KnownFailure | None = None
    """Set if the project knows the case to fail; only `local_live` looks for that."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    @field_validator("finished_at")
    @classmethod
    def _is_a_moment(cls, value: str) -> str:
        if value and dt.datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("a moment needs its zone")
        return value

    def model_post_init(self, _context: object, /) -> None:
        """Refuse a record that contradicts itself: green without checks, not_run without a reason."""
        if (self.verdict is Verdict.NOT_RUN) != (self.reason is not None):
            raise ValueError(f"{self.case_id}: a reason belongs to not_run, and to not_run only")
        if self.verdict is Verdict.PASSED:
            if not any(act.checks for act in self.acts):
                raise ValueError(f"{self.case_id}: passed without a single check")
            if not any(act.diff is not None and act.diff.expected_rows for act in self.acts):
                raise ValueError(f"{self.case_id}: passed without comparing a single row")
            red = [f"{a.name}.{c.name}" for a in self.acts for c in a.checks if not c.passed]
            red += [a.name for a in self.acts if not a.passed]
            if red:
                raise ValueError(f"{self.case_id}: passed beside red checks: {', '.join(red)}")

    @property
    def case(self) -> Case:
        """The case that the record is of."""
        return Case(self.source, self.sink, self.strategy, self.via)

    @property
    def excused(self) -> bool:
        """If the case failed as it is known to: a feature branch may live with it, and it never counts as passed."""
        return self.verdict is Verdict.FAILED and self.known is not None

    @classmethod
    def of(cls, case: Case, verdict: Verdict, **facts: object) -> CaseRecord:
        """A record of `case`; `facts` are the other fields."""
        return cls.model_validate(
            {
                "case_id": case.case_id,
                "source": case.source,
                "sink": case.sink,
                "strategy": case.strategy,
                "via": case.via,
                "verdict": verdict,
                **facts,
            }
        )
