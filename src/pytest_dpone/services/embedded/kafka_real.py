"""Apache Kafka itself as one KRaft node: from a folder with its jars and a Java that can run it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ServiceFailed, UsageError
from ..ask import prove
from ..keeper import Ready, Spec, Wire, exit_text, last_lines, shield, stay, wait_until
from ..life import children_environ, die_with_parent, is_root, service_owner

OUR_VARIABLE = "DPONE_KAFKA_HOME"
VARIABLE = "KAFKA_HOME"
_OLDEST_JAVA = 17
_PORT_ATTEMPTS = 5
_JAVA = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_CLUSTER = "cHl0ZXN0LWRwb25lLTAwMg"
_JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{user}" password="{password}" user_{user}="{password}";'
)
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": "1@127.0.0.1:{controller}",
    "listeners": "CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
    "advertised.listeners": "CLIENT://127.0.0.1:{client}",
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.client.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "sasl.mechanism.controller.protocol": "PLAIN",
    "listener.name.client.plain.sasl.jaas.config": _JAAS,
    "listener.name.client.scram-sha-256.sasl.jaas.config": _SCRAM,
    "listener.name.client.scram-sha-512.sasl.jaas.config": _SCRAM,
    "listener.name.controller.plain.sasl.jaas.config": _JAAS,
    "log.dirs": "{data}",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}


@dataclass(frozen=True)
class Home:
    """A folder with `libs/*.jar` of Apache Kafka, and the Java to run it."""

    folder: Path
    java: str
    version: str


def locate(environ: Mapping[str, str]) -> Home | None:
    """The Kafka to run: the folder in `DPONE_KAFKA_HOME`, else the one in `KAFKA_HOME`; None if neither is set.

    Raises `UsageError` if Kafka can't be run from there: who has named it does not want another one.
    """
    variable = next((name for name in (OUR_VARIABLE, VARIABLE) if environ.get(name)), "")
    if not variable:
        return None
    folder = Path(environ[variable])
    other = f"or unset {variable}: then the broker that comes with pytest-dpone runs"
    if not folder.is_absolute():
        raise UsageError(f"{variable} is a relative path", hint=f"give the whole path, {other}")
    if not (version := _version(folder)):
        raise UsageError(
            f"{variable}={folder}: there is no libs/kafka_*.jar", hint=f"name the folder that has libs/, {other}"
        )
    if not (java := find_java(environ)):
        raise UsageError(
            f"{variable} is set, and there is no Java of version {_OLDEST_JAVA} or later",
            hint=f"install a Java runtime, name one in JAVA_HOME, {other}",
        )
    return Home(folder.resolve(), java, version)


def find_java(environ: Mapping[str, str]) -> str:
    """A `java` of version 17 or later: of `JAVA_HOME`, else of the path; empty if there is none."""
    named = environ.get("JAVA_HOME", "")
    for java in (str(Path(named) / "bin" / "java") if named else "", shutil.which("java", path=environ.get("PATH"))):
        if java and os.access(java, os.X_OK) and _java_version(java) >= _OLDEST_JAVA:
            return java
    return ""


def keep(home: Home, spec: Spec, wire: Wire) -> None:
    """Run a fresh node until it ends or we are stopped; its data goes with us, so that it is simply killed then."""
    server: subprocess.Popen[bytes] | None = None
    libraries = os.open(home.folder / "libs", os.O_PATH | os.O_DIRECTORY)  # may lie where only root can go
    try:
        for attempt in range(_PORT_ATTEMPTS):
            client = _prepare(home, libraries, spec, attempt)
            server = _launch(home, libraries, spec, attempt)
            wire.owns_process(server.pid)
            try:
                ready = _await(server, client, spec, home)
                break
            except ServiceFailed:
                # Somebody else may bind a port between our look and the server's.
                if "Address already in use" not in last_lines(spec.log, lines=60) or attempt + 1 == _PORT_ATTEMPTS:
                    raise
                _stop(server)
        wire.ready(ready)
        wire.died(f"Kafka ended: {stay(server)}")
    finally:
        shield()
        if server is not None:
            _stop(server)
        os.close(libraries)


def properties(*, user: str, password: str, client: int, controller: int, data: Path) -> str:
    """The node's settings, as the text of its file."""
    values = {"user": user, "password": password, "client": client, "controller": controller, "data": data}
    lines = []
    for name, value in _SETTINGS.items():
        for key, filled in values.items():
            value = value.replace("{" + key + "}", str(filled))
        lines.append(f"{name}={value}\n")
    return "".join(lines)


def _prepare(home: Home, libraries: int, spec: Spec, attempt: int) -> int:
    """Write the settings and format the data; gives the port for clients."""
    data = Path(spec.data) / f"log{attempt}"
    data.mkdir(mode=0o700)
    settings = _settings_file(spec, attempt)
    client, controller = _free_ports()
    descriptor = os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(properties(user=spec.user, password=spec.password, client=client, controller=controller, data=data))
    if is_root():
        for path in (data, settings):
            os.chown(path, *service_owner())
    arguments = ("kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(settings))
    done = subprocess.run(
        _command(home, libraries, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **_surroundings(spec, libraries),
    )
    if done.returncode != 0:
        text = f"Kafka's storage can't be formatted: {exit_text(done.returncode)}\n{done.stdout.strip()[-2000:]}"
        raise ServiceFailed(text, hint=f"is {home.folder} a whole Apache Kafka of version 3.3 or later?")
    return client


def _launch(home: Home, libraries: int, spec: Spec, attempt: int) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    return subprocess.Popen(
        _command(home, libraries, "kafka.Kafka", str(_settings_file(spec, attempt))),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        # This process has one thread only, so running Python between fork and exec is safe.
        preexec_fn=lambda: die_with_parent(parent, by=signal.SIGKILL),
        **_surroundings(spec, libraries),
    )


def _await(server: subprocess.Popen[bytes], port: int, spec: Spec, home: Home) -> Ready:
    from .kafka import address

    url = address(spec, port)
    answer = wait_until(
        lambda: prove("kafka", url),
        timeout=spec.timeout,
        what="Kafka",
        ended=lambda: None if server.poll() is None else exit_text(server.returncode),
    )
    return Ready(url=url, product=answer.product, version=home.version, fidelity="real")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    with suppress(subprocess.TimeoutExpired):
        server.wait(5)


def _command(home: Home, libraries: int, main: str, *arguments: str) -> list[str]:
    return [home.java, *_JAVA, "-cp", f"/proc/self/fd/{libraries}/*", main, *arguments]


def _surroundings(spec: Spec, libraries: int) -> dict[str, Any]:
    uid, gid = service_owner()
    environ = {**children_environ(os.environ), "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    user = {"user": uid, "group": gid, "extra_groups": []} if is_root() else {}
    return {"cwd": spec.data, "env": environ, "pass_fds": (libraries,), **user}


def _settings_file(spec: Spec, attempt: int) -> Path:
    return Path(spec.data) / f"server{attempt}.properties"


def _version(folder: Path) -> str:
    """The version in the name of the server's jar; empty if there is none."""
    for jar in sorted((folder / "libs").glob("kafka_*.jar")):
        if found := re.fullmatch(r"kafka_[\d.]+-(\d+(?:\.\d+)+[\w.-]*)\.jar", jar.name):
            return found[1]
    return ""


def _java_version(java: str) -> int:
    """The first number of the Java's version, 0 if it does not say."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else 0


def _free_ports() -> tuple[int, int]:
    """Two ports that are free now; both are held while they are chosen, so that they differ."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])
