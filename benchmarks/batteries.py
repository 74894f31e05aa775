"""Run the batteries of our stand-ins, on real servers as well where there are some, and print the scores.

A check that does not pass is a defect of ours, unless it is declared (a strict xfail with its reason).
Usage: batteries.py [kafka] [schema_registry] [clickhouse] [s3]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apicurio import apicurio

from pytest_dpone.errors import DponeError
from pytest_dpone.services.embedded import kafka_real

ROOT = Path(__file__).resolve().parent.parent
KAFKA = ROOT / "docker" / "test-images" / "kafka"
_NOT_OURS = ("DPONE_KAFKA_HOME", "KAFKA_HOME")
"""Variables that put a real server in the place of ours, beside the addresses."""


class NoServerError(Exception):
    """There is no real server to compare with; the text says what would help."""


@dataclass(frozen=True)
class Real:
    """A server that is not ours: its name, and the environment that sends a battery there."""

    product: str
    environ: Mapping[str, str]


@dataclass(frozen=True)
class Battery:
    """Its tests, which hold a check each."""

    name: str
    tests: Sequence[str]
    real: Callable[[], AbstractContextManager[Real]]
    only_ours: Sequence[str] = ()
    """Tests that kill their server, and start it themselves."""
    reference: bool = False
    """If the real server must pass all checks, since ours is built after it."""


@contextmanager
def real_kafka() -> Iterator[Real]:
    """The Kafka that is at hand, else one that is assembled from its Maven artifacts."""
    home = os.environ.get("DPONE_KAFKA_HOME") or os.environ.get("KAFKA_HOME") or str(KAFKA / "home")
    if not list(Path(home).glob("libs/kafka_*.jar")):
        if shutil.which("mvn") is None:
            raise NoServerError("set KAFKA_HOME, or install Java 17 and Maven")
        subprocess.run([str(KAFKA / "assemble.sh"), home], check=True)
    found = kafka_real.locate({**os.environ, "DPONE_KAFKA_HOME": home})
    assert found is not None, "it raises if Kafka can't be run from there"
    yield Real(f"Apache Kafka {found.version}", {"DPONE_KAFKA_HOME": home})


@contextmanager
def real_registry() -> Iterator[Real]:
    """Apicurio Registry, which is not the vendor's, but another hand's."""
    with apicurio() as url:
        yield Real("Apicurio Registry", {"DPONE_TEST_SCHEMA_REGISTRY_URL": url})


def at_an_address(product: str, variable: str) -> Callable[[], AbstractContextManager[Real]]:
    """A server that the environment names."""

    @contextmanager
    def real() -> Iterator[Real]:
        if not (url := os.environ.get(variable)):
            raise NoServerError(f"{variable} names none")
        yield Real(product, {variable: url})

    return real


BATTERIES = (
    Battery(
        "kafka",
        ("test_kafka_battery.py", "test_kafka_battery_groups.py", "test_kafka_movers.py"),
        real_kafka,
        reference=True,
    ),
    Battery("schema_registry", ("test_schema_registry_battery.py",), real_registry),
    Battery(
        "clickhouse",
        ("test_clickhouse_battery.py", "test_clickhouse_features.py"),
        at_an_address("ClickHouse", "DPONE_TEST_CLICKHOUSE_URL"),
        only_ours=(
            "test_kills.py::test_clickhouse_keeps_what_it_has_acknowledged",
            "test_kills.py::test_a_second_engine_on_the_same_directory_is_refused",
        ),
    ),
    Battery(
        "s3",
        ("test_s3_battery.py", "test_s3_clickhouse.py"),
        at_an_address("S3", "DPONE_TEST_MINIO_URL"),
    ),
)


def main(names: Sequence[str]) -> int:
    """Run what was asked for; status 1 if a check of ours does not pass and is not declared."""
    chosen = [battery for battery in BATTERIES if not names or battery.name in names]
    if unknown := set(names) - {battery.name for battery in BATTERIES}:
        print(f"there is no battery {', '.join(sorted(unknown))}", file=sys.stderr)
        return 4
    rows, good = [("battery", "ours", "another server")], True
    for battery in chosen:
        ours = run(battery, None)
        try:
            with battery.real() as server:
                real, product = run(battery, server), server.product
        except (NoServerError, DponeError, OSError, subprocess.CalledProcessError) as error:
            real, product = {}, str(error)
        show(battery.name, ours, real, product)
        rows.append((battery.name, score(ours), f"{product}: {score(real)}" if real else f"- ({product})"))
        good = good and passed(ours) and (passed(real) or not battery.reference or not real)
    print()
    for name, left, right in rows:
        print(f"{name:16} {left:28} {right}")
    return 0 if good else 1


def run(battery: Battery, server: Real | None) -> dict[str, str]:
    """Check → outcome, on `server` or on ours, which the tests start themselves."""
    tests = (*battery.tests, *(battery.only_ours if server is None else ()))
    environ = {n: v for n, v in os.environ.items() if not (n.startswith("DPONE_TEST_") and n.endswith("_URL"))}
    for name in _NOT_OURS:
        environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        plain = ("-q", "-n0", "-p", "no:cacheprovider", "-p", "no:randomly", f"--junitxml={report}")
        subprocess.run(
            [sys.executable, "-m", "pytest", *plain, *(str(ROOT / "tests" / "real" / test) for test in tests)],
            cwd=ROOT,
            env={**environ, **(server.environ if server is not None else {})},
            stdout=sys.stderr,
            check=False,
        )
        return outcomes(report)


def outcomes(report: Path) -> dict[str, str]:
    """Check → ok, declared, skipped or FAIL, in the order in which they ran; empty if nothing ran."""
    found = {}
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        outcome = "ok"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "FAIL"
        elif (skipped := case.find("skipped")) is not None:
            outcome = "declared" if skipped.get("type") == "pytest.xfail" else "skipped"
        module = str(case.get("classname")).rpartition(".")[2].removeprefix("test_")
        found[f"{module}.{str(case.get('name')).removeprefix('test_')}"] = outcome
    return found


def show(name: str, ours: Mapping[str, str], real: Mapping[str, str], product: str) -> None:
    """A line for each check."""
    width = max(map(len, (*ours, name)))
    print(f"\n{name:{width}}  {'ours':8}  {product if real else ''}".rstrip())
    for check in {**ours, **real}:
        print(f"{check:{width}}  {ours.get(check, '-'):8}  {real.get(check, '-') if real else ''}".rstrip())


def passed(results: Mapping[str, str]) -> bool:
    """If there are checks, and all of them passed or are declared."""
    return bool(results) and all(result in ("ok", "declared") for result in results.values())


def score(results: Mapping[str, str]) -> str:
    """How many checks passed, and how many of the others are known."""
    declared = sum(result == "declared" for result in results.values())
    good = sum(result == "ok" for result in results.values())
    return f"{good} of {len(results)}" + (f", {declared} declared" if declared else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
