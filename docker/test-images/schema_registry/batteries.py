"""Play the battery of the Schema Registry on ours and on Apicurio Registry, and print both columns.

Status 1 if ours fails a check. Apicurio is assembled by `assemble.sh`, if Java and Maven are here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BATTERY = ROOT / "tests" / "real" / "test_schema_registry_battery.py"
VARIABLE = "DPONE_TEST_SCHEMA_REGISTRY_URL"
_PATIENCE = 90.0


def main() -> int:
    """Both columns, and the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dpone" / "apicurio"
    parser.add_argument("--folder", type=Path, default=cache, help=f"where Apicurio Registry lies; default: {cache}")
    folder = parser.parse_args().folder
    columns = {"ours": play({})}
    if shutil.which("java") and shutil.which("mvn"):
        subprocess.run([HERE / "assemble.sh", folder], check=True)
        with apicurio(folder) as url:
            columns["Apicurio"] = play({VARIABLE: url})
    else:
        print("Apicurio Registry needs Java 17 and Maven, which are not here", file=sys.stderr)
    show(columns)
    return 0 if columns["ours"] and all(columns["ours"].values()) else 1


def play(environ: Mapping[str, str]) -> dict[str, bool]:
    """Check → passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", str(BATTERY), "-q", "-n0", f"--junitxml={report}"]
        kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
        done = subprocess.run(
            command, cwd=ROOT, env={**kept, **environ}, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode not in (0, 1):
            raise SystemExit(done.stdout + done.stderr)
        cases = ET.parse(report).iter("testcase")
        return {case.attrib["name"]: not list(case) for case in cases}


@contextmanager
def apicurio(folder: Path) -> Iterator[str]:
    """Apicurio Registry in memory on 127.0.0.1, with Confluent's defaults; gives the address of that API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (jar,) = folder.glob("apicurio-registry-app-*-runner.jar")
    settings = {
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_HTTP_PORT": str(port),
        "APICURIO_CCOMPAT_USE_CANONICAL_HASH": "true",
    }
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            ["java", "-Xmx512m", "-jar", str(jar)], env={**os.environ, **settings}, stdout=log, stderr=log
        )
        url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        try:
            _await(server, url)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _await(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            data = json.dumps({"compatibility": "BACKWARD"}).encode()  # Confluent's default; Apicurio's is NONE
            request = urllib.request.Request(f"{url}/config", data=data, method="PUT")
            request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"Apicurio Registry did not come up: {error}") from None
        time.sleep(0.5)


def show(columns: Mapping[str, Mapping[str, bool]]) -> None:
    """A line a check, and the sums."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    width = max(map(len, names))
    print(f"{'check':{width}}  " + "  ".join(f"{column:10}" for column in columns).rstrip())
    for name in names:
        cells = ("ok" if column[name] else "FAIL" if name in column else "-" for column in columns.values())
        print(f"{name:{width}}  " + "  ".join(f"{cell:10}" for cell in cells).rstrip())
    scores = (f"{sum(column.values())}/{len(column)}" for column in columns.values())
    print(f"{'score':{width}}  " + "  ".join(f"{score:10}" for score in scores).rstrip())


if __name__ == "__main__":
    sys.exit(main())
