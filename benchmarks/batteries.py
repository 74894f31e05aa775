"""Run the batteries of our stand-ins on the real servers, too, and print both columns.

A check that the real server passes and ours does not is a defect of ours, unless it is declared (a strict xfail).
Usage: batteries.py [kafka …]
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_dpone.errors import DponeError
from pytest_dpone.services.stack import Stack, StackSettings

ROOT = Path(__file__).resolve().parent.parent
KAFKA = ROOT / "docker" / "test-images" / "kafka"


@dataclass(frozen=True)
class Battery:
    """Its test modules, the variable that gives them an address, and what makes `embedded` the real server."""

    service: str
    modules: Sequence[str]
    variable: str
    real: Callable[[], Mapping[str, str]]
    """The environment for the real server; raises `DponeError` or OSError if it can't be had."""
    ours: Sequence[str]
    """Variables to take away, so that our stand-in is started."""


def real_kafka() -> Mapping[str, str]:
    """The Kafka that is at hand, else one that is assembled from its Maven artifacts."""
    home = os.environ.get("DPONE_KAFKA_HOME") or os.environ.get("KAFKA_HOME") or str(KAFKA / "home")
    if not list(Path(home).glob("libs/kafka_*.jar")):
        if shutil.which("mvn") is None:
            raise FileNotFoundError("no Apache Kafka: set KAFKA_HOME, or install mvn to assemble it")
        subprocess.run([str(KAFKA / "assemble.sh"), home], check=True)
    return {"DPONE_KAFKA_HOME": home}


BATTERIES = (
    Battery(
        "kafka",
        ("test_kafka_battery.py", "test_kafka_battery_groups.py", "test_kafka_movers.py"),
        "DPONE_TEST_KAFKA_URL",
        real_kafka,
        ("DPONE_KAFKA_HOME", "KAFKA_HOME"),
    ),
)


def main(names: Sequence[str]) -> int:
    """Run what was asked for; status 1 if ours and the real server differ in what is not declared."""
    different = False
    for battery in BATTERIES:
        if names and battery.service not in names:
            continue
        ours, product = run(battery, {}, battery.ours)
        try:
            real, real_product = run(battery, battery.real(), ())
        except (DponeError, OSError, subprocess.CalledProcessError) as error:
            real, real_product = {}, f"the real server can't be had: {error}"
        print(f"\n{battery.service}: {product} | {real_product}\n")
        width = max(map(len, ours))
        print(f"{'check':{width}}  ours      real")
        for check in sorted(ours.keys() | real.keys(), key=lambda name: list({**ours, **real}).index(name)):
            left, right = ours.get(check, "-"), real.get(check, "-")
            print(f"{check:{width}}  {left:8}  {right}")
            different = different or left not in ("ok", "declared") or right not in ("ok", "-")
        print("\n" + score("ours", ours) + ("; " + score("real", real) if real else ""))
    return int(different)


def run(battery: Battery, environ: Mapping[str, str], without: Sequence[str]) -> tuple[dict[str, str], str]:
    """(check → outcome, product and version) on a server that is started for this."""
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(environ)
    settings = StackSettings(run_id=f"battery-{secrets.token_hex(4)}", providers={battery.service: "embedded"})
    with Stack.launch(settings) as stack, tempfile.TemporaryDirectory() as folder:
        info = stack.ensure([battery.service])[battery.service]
        report = Path(folder) / "report.xml"
        modules = [str(ROOT / "tests" / "real" / module) for module in battery.modules]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", f"--junitxml={report}", *modules],
            cwd=ROOT,
            env={**os.environ, battery.variable: info.url.get_secret_value()},
            stdout=sys.stderr,
            check=False,
        )
        return outcomes(report), f"{info.record.product} {info.record.version}"


def outcomes(report: Path) -> dict[str, str]:
    """Check → ok, declared, skipped or FAIL, in the order in which they ran."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        outcome = "ok"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "FAIL"
        elif (skipped := case.find("skipped")) is not None:
            outcome = "declared" if skipped.get("type") == "pytest.xfail" else "skipped"
        found[str(case.get("name")).removeprefix("test_")] = outcome
    return found


def score(name: str, results: Mapping[str, str]) -> str:
    """How many checks passed."""
    declared = sum(result == "declared" for result in results.values())
    passed = sum(result == "ok" for result in results.values())
    return f"{name}: {passed} of {len(results)} pass" + (f", {declared} declared" if declared else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
