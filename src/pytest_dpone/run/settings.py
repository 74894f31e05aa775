"""All that a run needs to know, read once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.dataset import DatasetSpec
from ..core.model import Frozen

DatasetKind = Literal["standard", "narrow", "empty", "single"]


def several_batches(rows: int, dataset: DatasetKind) -> int:
    """Rows per batch so that a table of `rows` is several batches long (DESIGN §5): a quarter.

    At most 65,536 of a narrow table and 16,384 of a wide one: engine and harness hold several batches at a time, each
    in a gigabyte at most.
    """
    return min(65_536 if dataset == "narrow" else 16_384, -(-rows // 4))


def _several(*, rows: int = 1, dataset: DatasetKind = "standard", **_: object) -> int:
    return several_batches(rows, dataset)


class RunSettings(Frozen):
    """Ratios are shares of S0's rows in 0..1 with `delete_ratio` ≤ `change_ratio`; `rows` is S0's count."""

    run_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    seed: int = Field(ge=0, lt=2**63, default=1)
    rows: int = Field(ge=1, default=1000)
    change_ratio: float = Field(ge=0, le=1, default=0.2)
    delete_ratio: float = Field(ge=0, le=1, default=0.05)
    dataset: DatasetKind = "standard"
    batch_rows: int = Field(ge=1, default_factory=lambda known: _several(**known))
    """Rows of one batch, for the dataset, the engine's job and the comparison."""
    keep: Literal["never", "failed", "always"] = "never"
    allow_slots: bool = False
    """If cdc may make a replication slot on a Postgres that the run did not start."""
    crash: Literal["off", "quick", "full"] = "quick"
    """How often an engine is killed on the routes where that is tried."""
    engine: str = "native"
    """The name under which the engine was asked for; a fixture may have put another one in its place."""
    case_timeout: int | None = Field(ge=1, default=None)
    """Seconds that a case may take."""
    rerun_options: tuple[str, ...] = ()
    """Further options of this run without which a case would not be played the same way again."""

    @model_validator(mode="after")
    def _deletes_are_changes(self) -> RunSettings:
        if self.delete_ratio > self.change_ratio:
            raise ValueError(f"delete_ratio {self.delete_ratio} is greater than change_ratio {self.change_ratio}")
        return self

    def dataset_spec(self) -> DatasetSpec:
        """What decides the rows of every case of this run."""
        return DatasetSpec(
            seed=self.seed,
            rows=self.rows,
            change_ratio=self.change_ratio,
            delete_ratio=self.delete_ratio,
            kind=self.dataset,
            batch_rows=self.batch_rows,
        )
