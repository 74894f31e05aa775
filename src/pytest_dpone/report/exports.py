"""Runtime metrics for other tools: Prometheus text and OTLP JSON lines. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from ..core.gates.tallies import RuntimeFacts

_WRONG = re.compile(r"[^a-zA-Z0-9_]")
_UNITS = {"_seconds": "s", "_mb": "MBy", "_rate": "1", "_per_second": "{row}/s", "bytes": "By", "rows": "{row}"}


def prometheus_text(facts: RuntimeFacts, labels: Mapping[str, str]) -> str:
    """Prometheus exposition format, version 0.0.4: `dpone_run_…` and `dpone_case_…`, the latter with `case_id`."""
    lines: list[str] = []
    for level, name, points in _series(facts):
        metric = f"dpone_{level}_{_WRONG.sub('_', name)}"
        lines += [f"# HELP {metric} {name.replace('_', ' ')} of the {level}", f"# TYPE {metric} gauge"]
        for value, extra in points:
            pairs = ",".join(f'{_WRONG.sub("_", key)}="{_quoted(text)}"' for key, text in {**labels, **extra}.items())
            lines.append(f"{metric}{{{pairs}}} {value}")
    return "\n".join(lines) + "\n"


def otlp_lines(facts: RuntimeFacts, labels: Mapping[str, str], *, generated_at: str) -> str:
    """One line of OTLP JSON (`ExportMetricsServiceRequest`) per metric, as the collector's file exporter writes."""
    moment = datetime.fromisoformat(generated_at.replace("Z", "+00:00")).astimezone(UTC)
    nanoseconds = str(int(moment.timestamp() * 1000) * 1_000_000)
    resource = {"attributes": _attributes({"service.name": "pytest-dpone", **labels})}
    lines = []
    for level, name, series in _series(facts):
        points = [
            {"timeUnixNano": nanoseconds, "asDouble": float(value), "attributes": _attributes(extra)}
            for value, extra in series
        ]
        metric = {"name": f"dpone.{level}.{name}", "unit": _unit(name), "gauge": {"dataPoints": points}}
        scope = {"scope": {"name": "pytest_dpone"}, "metrics": [metric]}
        document = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}
        lines.append(json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    return "\n".join(lines) + "\n"


Point = tuple[int | float, dict[str, str]]


def _series(facts: RuntimeFacts) -> Iterator[tuple[str, str, list[Point]]]:
    for name, value in facts.totals.items():
        yield "run", name, [(value, {})]
    for name in dict.fromkeys(name for case in facts.cases for name in case.metrics):
        yield "case", name, [(c.metrics[name], {"case_id": c.case_id}) for c in facts.cases if name in c.metrics]


def _unit(name: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "1")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _attributes(labels: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"key": key, "value": {"stringValue": text}} for key, text in labels.items()]
