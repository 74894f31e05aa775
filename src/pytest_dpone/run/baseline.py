"""Writing a baseline: what a run measured becomes what later runs are held to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.gates.metrics import Baseline, Direction
from ..evidence.artifacts import write_json

DIRECTIONS: Mapping[str, Direction] = {
    "throughput_rows_per_second": "higher",
    "memory_peak_mb": "lower",
    "freshness_lag_seconds": "lower",
}
"""The metrics of a first baseline, and which way is better. The duration is none: it hangs on the number of workers."""
RATIO = 0.9
"""How much worse a metric of a first baseline may get: one run says little about a machine that others use too."""


def updated(known: Mapping[str, Baseline], metrics: Mapping[str, int | float]) -> dict[str, Baseline]:
    """`known` with the values of `metrics`; directions and ratios stay. A first baseline has those of `DIRECTIONS`.

    A metric that is known and was not measured keeps its value: that it is missing must stay visible.
    """
    rows = dict(known) or {
        name: Baseline(value=metrics[name], direction=direction, max_regression_ratio=RATIO)
        for name, direction in DIRECTIONS.items()
        if metrics.get(name)
    }
    return {
        name: row.model_copy(update={"value": metrics[name]}) if metrics.get(name) else row
        for name, row in rows.items()
    }


def write_baseline(path: Path, rows: Mapping[str, Baseline]) -> None:
    """Write the file that `--dpone-baseline` reads. Raises `ArtifactError`."""
    write_json(path, {name: row.model_dump(mode="json") for name, row in rows.items()})


def changes(
    before: Mapping[str, Baseline], after: Mapping[str, Baseline], metrics: Mapping[str, int | float]
) -> list[str]:
    """What the new baseline says other than the old one, a line per metric."""
    lines = []
    for name, row in after.items():
        if name not in metrics:
            lines.append(f"{name}: {row.value}, kept: it was not measured")
        elif name not in before:
            lines.append(f"{name}: {row.value}, new")
        elif before[name].value == row.value:
            lines.append(f"{name}: {row.value}, unchanged")
        else:
            lines.append(f"{name}: {before[name].value} → {row.value}")
    return lines
