"""Measure what the project promises about speed and memory, and print it beside the promise.

    python benchmarks/run.py [NAME …]

Speeds are ratios of two things measured in turn in this run, wherever there is something to compare with: absolute
times mean nothing on shared machines.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROWS = 1_000_000


@dataclass(frozen=True)
class Figure:
    """One measured figure; `bound` is the promise and `least` tells if it is a minimum."""

    what: str
    value: float
    bound: float
    unit: str
    least: bool = False

    def line(self) -> str:
        kept = self.value >= self.bound if self.least else self.value <= self.bound
        sign = ">=" if self.least else "<="
        value = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"{'ok  ' if kept else 'OVER'} {self.what:<62} {value:>9} {self.unit:<7} ({sign} {self.bound:,g})"


def import_cost() -> Iterator[Figure]:
    """Importing the plugin after pytest."""
    code = textwrap.dedent("""
        import sys, time, pytest
        before = set(sys.modules)
        start = time.perf_counter()
        import pytest_dpone.plugin
        spent = time.perf_counter() - start
        third = {m.partition(".")[0] for m in set(sys.modules) - before} - sys.stdlib_module_names
        print(spent * 1000, len(third - {"pytest_dpone", "pytest", "_pytest"}))
    """)
    runs = [_python("-c", code).split() for _ in range(15)]
    yield Figure("import of the plugin after pytest", statistics.median(float(r[0]) for r in runs), 5, "ms")
    yield Figure("third-party modules that it imports", float(runs[0][1]), 0, "modules")


def inactive() -> Iterator[Figure]:
    """`pytest --collect-only` on 1,000 tests, with the plugin installed and unused, against without."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(20):
            tests = "\n".join(f"def test_{n}(): pass" for n in range(50))
            (Path(folder) / f"test_{number}.py").write_text(tests)
        base = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", folder]
        pairs = _pairs(lambda: _python(*base), lambda: _python(*base, "-p", "no:dpone"), count=25)
    ratio = statistics.median(with_ / without for with_, without in pairs)
    yield Figure("collect-only of 1,000 tests: with the plugin / without", ratio, 1.01, "ratio")


def stack() -> Iterator[Figure]:
    """All three embedded services, side by side, from launch to the first answered query of each."""
    with _stack():
        pass  # the first start fills the caches
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with _stack():
            times.append(time.perf_counter() - start)
    yield Figure("embedded Postgres, ClickHouse and S3 ready, warm", statistics.median(times), 5, "s")


def native() -> Iterator[Figure]:
    """The native engine's full refresh Postgres → Postgres against a server-to-server binary COPY of the same rows."""
    with _stack() as services, _seeded(services, "postgres") as seeded:
        pairs = _pairs(lambda: _native_refresh(seeded), lambda: _binary_copy(services, seeded), count=4)
    ratio = statistics.median(copy / refresh for refresh, copy in pairs)
    yield Figure("Postgres → Postgres: native full refresh / binary COPY", ratio, 0.6, "ratio", least=True)


def oracle() -> Iterator[Figure]:
    """Reading a table back and comparing it row by row."""
    from pytest_dpone.core.diff import compare
    from pytest_dpone.core.oracle import expect_source

    for family in ("postgres", "clickhouse", "minio"):
        with _stack() as services, _seeded(services, family) as seeded:
            expected, rates = expect_source(seeded.dataset, changed=False), []
            for _ in range(3):
                start = time.perf_counter()
                rows = seeded.catalog.read(seeded.space, "t", expected.fields, order_by=expected.identity)
                report = compare(expected.batches(), rows, fields=expected.fields, identity=expected.identity)
                rates.append(ROWS / (time.perf_counter() - start))
                assert report.equal
                assert report.actual_rows == ROWS
        yield Figure(
            f"oracle: 1M x 10 rows of {family} checked", statistics.median(rates), 400_000, "rows/s", least=True
        )


def memory() -> Iterator[Figure]:
    """The largest process of a case with 5M × 10 rows."""
    with tempfile.TemporaryDirectory() as folder:
        for case in ("postgres_to_postgres__full_refresh", "postgres_to_clickhouse__incremental_merge"):
            _, peak = _played(case, 5_000_000, folder=Path(folder))
            yield Figure(f"{case}: 5M x 10 rows, largest process", peak, 1024, "MiB")


def scale() -> Iterator[Figure]:
    """The cost of a row in a case of 1M × 10 rows against one of 100k, for each strategy, and the largest process."""
    from pytest_dpone import Strategy

    with tempfile.TemporaryDirectory() as folder:
        for strategy in Strategy:
            case = f"postgres_to_clickhouse__{strategy}"
            small, _ = _played(case, 100_000, folder=Path(folder))
            large, peak = _played(case, 1_000_000, folder=Path(folder))
            yield Figure(f"{strategy}: a row's cost at 1M, of that at 100k", large / small / 10, 1.3, "")
            yield Figure(f"{strategy}: 1M x 10 rows, largest process", peak, 1024, "MiB")


def registry() -> Iterator[Figure]:
    """A registry of 10,240 cases that the engine can't move, against as many plain skipped tests."""
    conftest = """
        from pytest_dpone.core.registry import Family

        def pytest_dpone_register(registry):
            for number in range(32):
                registry.add(Family(f"bench{number}"))
            ours = lambda case: case.source[:5] == case.sink[:5] == "bench"
            registry.exclude(lambda case: None if ours(case) else "not in this benchmark")
    """
    plain = """
        import pytest

        @pytest.mark.parametrize("n", range(10240))
        def test_plain(n):
            pytest.skip("not implemented yet")
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        (Path(one) / "conftest.py").write_text(textwrap.dedent(conftest))
        (Path(two) / "test_plain.py").write_text(textwrap.dedent(plain))
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        pairs = _pairs(
            lambda: _python(*words, "--dpone-profile=local_live", cwd=one, status=1),
            lambda: _python(*words, cwd=two),
            count=3,
        )
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    yield Figure("10,240 cases collected and reported / plain skipped tests", ratio, 1.5, "ratio")


def session_end() -> Iterator[Figure]:
    """The end of a run with 10,000 records: all artifacts, against as many files of that size, each with fsync."""
    script = Path(__file__).with_name("session_end.py")
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            runs.append([float(word) for word in _python(str(script), folder).split()])
    ratio = statistics.median(end / plain for end, plain, _ in runs)
    yield Figure("end of a run with 10,000 records / writing 10,000 files", ratio, 2, "ratio")
    yield Figure("largest resident set at the end of such a run", max(peak for _, _, peak in runs), 300, "MiB")


def seal_and_verify() -> Iterator[Figure]:
    """A tree with 1,000 artifacts of 100 kB: sealed, and verified against `sha256sum -c` of the same tree."""
    script = Path(__file__).with_name("seal_and_verify.py")
    with tempfile.TemporaryDirectory() as folder:
        sealing, verifying, ratio = (float(word) for word in _python(str(script), folder).split())
    yield Figure("seal of 1,000 artifacts of 100 kB", sealing, 4, "s")
    yield Figure("verification of that tree", verifying, 0.6, "s")
    yield Figure("verification of that tree / sha256sum -c", ratio, 3, "ratio")


BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    function.__name__: function
    for function in (
        import_cost,
        inactive,
        stack,
        native,
        oracle,
        memory,
        scale,
        registry,
        session_end,
        seal_and_verify,
    )
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 4
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            print(figure.line(), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"(peak memory of the benchmark itself: {peak:,.0f} MiB)")
    return 0


def _python(*words: str, cwd: str | None = None, status: int = 0) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def _played(case: str, rows: int, *, folder: Path) -> tuple[float, float]:
    """(seconds that a case took, MiB of the largest process): without the start of the services, and with them."""
    words = [f"--dpone-case={case}", "--dpone-dataset=narrow", f"--dpone-rows={rows}", "--dpone-crash=off", "-q"]
    code = textwrap.dedent(f"""
        import resource, subprocess, sys
        done = subprocess.run([sys.executable, "-m", "pytest", *{words!r}], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    """)
    peak = float(_python("-c", code, cwd=str(folder)))
    newest = max(folder.rglob(f"{case}__behavior.json"), key=lambda path: path.stat().st_mtime)
    return float(json.loads(newest.read_text())["record"]["seconds"]), peak


def _pairs(one: Callable[[], object], other: Callable[[], object], *, count: int) -> list[tuple[float, float]]:
    """Seconds of both, in turn, each first in half of the pairs; one round before is not counted."""
    found = []
    for number in range(count + 1):
        first, second = (one, other) if number % 2 else (other, one)
        times = {}
        for action in (first, second):
            start = time.perf_counter()
            action()
            times[action] = time.perf_counter() - start
        found.append((times[one], times[other]))
    return found[1:]


@contextmanager
def _stack() -> Iterator[dict]:
    from pytest_dpone.services.stack import Stack, StackSettings

    names = ["postgres", "clickhouse", "minio"]
    settings = StackSettings(
        run_id=f"bench{time.time_ns() % 10**9}", providers=dict.fromkeys(names, "embedded"), images={}, external={}
    )
    stack = Stack.launch(settings)
    try:
        yield stack.ensure(names)
    finally:
        stack.close()


@dataclass(frozen=True)
class Seeded:
    catalog: object
    space: str
    dataset: object


@contextmanager
def _seeded(services: dict, family: str) -> Iterator[Seeded]:
    from pytest_dpone.core.contracts import default_contracts
    from pytest_dpone.core.dataset import Dataset, DatasetSpec
    from pytest_dpone.services.catalog import open_catalog

    dataset = Dataset(
        DatasetSpec(seed=1, rows=ROWS, kind="narrow"), source=family, sink=family, contracts=default_contracts()
    )
    catalog = open_catalog(services[family], bucket="dpone-bench")
    catalog.open("dpone_bench")
    catalog.create("dpone_bench", "t", dataset.schema)
    catalog.load("dpone_bench", "t", dataset.schema, dataset.before())
    try:
        yield Seeded(catalog, "dpone_bench", dataset)
    finally:
        catalog.close("dpone_bench")
        catalog.disconnect()


def _native_refresh(seeded: Seeded) -> None:
    from pytest_dpone.core.wire import Job
    from pytest_dpone.engines import load_engine

    job = Job.model_validate(
        {
            "case_id": "postgres_to_postgres__full_refresh",
            "run_id": "bench",
            "strategy": "full_refresh",
            "source": seeded.catalog.endpoint(seeded.space, "t"),
            "sink": seeded.catalog.endpoint(seeded.space, "native"),
            "key": ("id",),
            "cursor": "updated_at",
            "partition": "business_date",
            "state_table": "dpone_state",
            "batch_rows": 65_536,
        }
    )
    facts = load_engine("native").run(job)
    assert facts.written == ROWS


def _binary_copy(services: dict, seeded: Seeded) -> None:
    import psycopg

    url = services["postgres"].url.get_secret_value()
    with psycopg.connect(url) as source, psycopg.connect(url) as sink:
        sink.execute(f"DROP TABLE IF EXISTS {seeded.space}.raw")
        sink.execute(f"CREATE TABLE {seeded.space}.raw (LIKE {seeded.space}.t)")
        out = f"COPY {seeded.space}.t TO STDOUT (FORMAT binary)"
        into = f"COPY {seeded.space}.raw FROM STDIN (FORMAT binary)"
        with source.cursor().copy(out) as read, sink.cursor().copy(into) as write:
            for block in read:
                write.write(block)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
