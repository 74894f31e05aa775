"""Run after run, and several at once: count what is there before and after. Status 1 if anything is left.

The runs take turns in how they have their services: embedded, on servers that are there already, and by Docker where an
engine and the test images are (`docker/test-images/build.sh`). Usage: leaks.py [--runs N] [--at-once N]
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.services.docker_engine import RUN_LABEL, look
from pytest_dpone.services.handle import ServiceHandle
from pytest_dpone.services.life import NOBODY
from pytest_dpone.services.stack import Stack, StackSettings

NAMES = ("postgres", "clickhouse", "kafka", "minio", "schema_registry")
IMAGES = {
    "postgres": "pytest-dpone-test/postgres:15",
    "clickhouse": "pytest-dpone-test/clickhouse:stand-in",
    "minio": "pytest-dpone-test/minio:stand-in",
}
CASES = ("--dpone-profile=local_live", "--dpone-source=postgres,clickhouse", "--dpone-strategy=full_refresh")
SHARED = Path("/dev/shm")
SETTLE = 15.0
"""Seconds that a removal may still take when pytest has ended."""

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'"
"""Postgres keeps the empty schemas of temporary tables for the next session that makes one."""

Counts = dict[str, int]


class Place:
    """Where the runs play: a temporary directory of their own, whose name marks their processes."""

    def __init__(self, base: Path, servers: Mapping[str, ServiceInfo], engine: Any) -> None:
        self.base = base
        self.servers = servers
        self.engine = engine
        self.runs: list[str] = []
        self._segments = segments()
        self._memory = shared_files()

    def play(self, provider: str) -> bool:
        """One run; False if it was not green, and then what it said goes to the standard error."""
        services = dict.fromkeys(IMAGES if provider == "docker" else NAMES, provider)
        words = [f"--dpone-services={','.join(f'{name}={how}' for name, how in services.items())}", "--dpone-rows=50"]
        words.append("--dpone-sink=minio" if provider == "docker" else "--dpone-sink=minio,kafka")
        words += [f"--dpone-image={','.join(f'{n}={i}' for n, i in IMAGES.items())}"] if provider == "docker" else []
        environ = {n: v for n, v in os.environ.items() if not n.startswith(("DPONE_", "PYTEST_"))}
        environ["TMPDIR"] = str(self.base)
        if provider == "external":
            environ |= {f"DPONE_{n.upper()}_URL": info.url.get_secret_value() for n, info in self.servers.items()}
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *CASES, *words],
                cwd=folder, env=environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
        self.runs += re.findall(r"dpone: run (\w+),", done.stdout)
        if done.returncode != 0:
            sys.stderr.write(done.stdout + done.stderr)
        return done.returncode == 0

    def count(self) -> Counts:
        """Everything that a run could leave."""
        return {
            "processes": self._processes(),
            "files and directories": self._files(),
            "shared memory (System V), unattached": len(segments() - self._segments),
            "shared memory (POSIX)": len(shared_files() - self._memory),
            **self._docker(),
            **{what: len(names()) for what, names in self._on_servers().items()},
        }

    def settled(self, before: Counts) -> Counts:
        """The counts as soon as they are those from before, or at the end of the patience."""
        deadline = time.monotonic() + SETTLE
        while (now := self.count()) != before and time.monotonic() < deadline:
            time.sleep(0.5)
        return now

    def _processes(self) -> int:
        mark = f"TMPDIR={self.base}".encode()
        count = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                count += mark in (process / "environ").read_bytes().split(b"\0")
            except OSError:  # it is gone, or somebody else's
                continue
        return count

    def _files(self) -> int:
        """The two caches that are kept on purpose don't count, nor does the lock of the base."""
        kept = {"binaries", "cache", "lock", "runs", "left"}
        homes = list(self.base.glob("pytest-dpone-*"))
        inside = [path for home in homes for path in home.iterdir() if path.name not in kept]
        inside += [path for home in homes for folder in ("runs", "left") for path in home.glob(f"{folder}/*")]
        return len(inside) + sum(path not in homes for path in self.base.iterdir())

    def _docker(self) -> Counts:
        if self.engine is None:
            return {}
        containers = self.engine.api.containers(all=True, filters={"label": RUN_LABEL})
        networks = [network.name.lower() for network in self.engine.networks.list()]
        return {
            "containers": sum(container["Labels"][RUN_LABEL] in self.runs for container in containers),
            "networks": sum(any(run in name for run in self.runs) for name in networks),
            "volumes, unused": len(self.engine.volumes.list(filters={"dangling": True})),
        }

    def _on_servers(self) -> dict[str, Callable[[], Sequence[object]]]:
        def ask(name: str, question: Callable[[Any], Any]) -> Callable[[], Sequence[object]]:
            def asked() -> Sequence[object]:
                handle = ServiceHandle(self.servers[name], name="unused")
                try:
                    return list(question(handle.client))
                finally:
                    handle.close()

            return asked

        return {
            "Postgres: databases": ask("postgres", lambda c: c.execute("SELECT datname FROM pg_database")),
            "Postgres: schemas": ask("postgres", lambda c: c.execute(SCHEMAS)),
            "Postgres: slots": ask("postgres", lambda c: c.execute("SELECT slot_name FROM pg_replication_slots")),
            "Postgres: roles": ask("postgres", lambda c: c.execute("SELECT rolname FROM pg_roles")),
            "ClickHouse: databases": ask("clickhouse", lambda c: c.query("SHOW DATABASES").result_rows),
            "ClickHouse: tables": ask(
                "clickhouse",
                lambda c: c.query("SELECT name FROM system.tables WHERE database != 'system'").result_rows,
            ),
            "Kafka: topics": ask("kafka", lambda c: topics(c.admin)),
            "Kafka: groups": ask("kafka", lambda c: c.admin.list_consumer_groups().result(10).valid),
            "S3: buckets": ask("minio", lambda c: c.list_buckets()["Buckets"]),
            "Schema Registry: subjects": ask("schema_registry", lambda c: c.get_subjects(deleted=True)),
        }


def topics(admin: Any) -> list[str]:
    """Those of users; a broker makes its own at the first use."""
    return [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]


def segments() -> set[str]:
    """The System V segments of our users that nobody is attached to."""
    try:
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    except OSError:
        return set()
    ours = {str(os.geteuid()), str(NOBODY)}
    return {fields[1] for fields in map(str.split, lines) if fields[6] == "0" and fields[7] in ours}


def shared_files() -> set[Path]:
    """The files of our users in shared memory."""
    return {path for path in SHARED.iterdir() if path.lstat().st_uid in (os.geteuid(), NOBODY)}


def docker_engine() -> Any:
    """A client of the engine if it has our images, else None."""
    seen = look(IMAGES)
    if seen.error or any(seen.images.values()):
        return None
    import docker

    return docker.from_env()


def main() -> int:
    """Play, count, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="one after another; default: 20")
    parser.add_argument("--at-once", type=int, default=4, help="side by side, afterwards; default: 4")
    arguments = parser.parse_args()
    engine = docker_engine()
    ways = ("embedded", "external", "docker") if engine is not None else ("embedded", "external")
    settings = StackSettings(run_id=f"soak{secrets.token_hex(4)}", providers=dict.fromkeys(NAMES, "embedded"))
    with tempfile.TemporaryDirectory(prefix="dpone-", dir="/tmp") as name, Stack.launch(settings) as stack:
        Path(name).chmod(0o755)
        place = Place(Path(name), stack.ensure(NAMES), engine)
        counts = [before := place.count()]
        began = time.monotonic()
        green = [place.play(way) for way in islice(cycle(ways), arguments.runs)]
        counts.append(place.settled(before))
        with ThreadPoolExecutor(arguments.at_once) as pool:
            green += pool.map(place.play, islice(cycle(ways), arguments.at_once))
        counts.append(place.settled(before))
        seconds = time.monotonic() - began
    heads = ("before", f"after {arguments.runs} runs", f"after {arguments.at_once} at once")
    print(f"{'what':38}" + "".join(f"{head:>18}" for head in heads))
    for what in counts[0]:
        leak = "" if len({column[what] for column in counts}) == 1 else "  LEAK"
        print(f"{what:38}" + "".join(f"{column[what]:18}" for column in counts) + leak)
    print(f"{sum(green)} of {len(green)} runs green ({', '.join(ways)}), {seconds:.0f} s")
    return 0 if all(green) and all(column == before for column in counts) else 1


if __name__ == "__main__":
    sys.exit(main())
