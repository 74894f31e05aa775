"""Which services there are and how each provider serves them: data, one row a service."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PROVIDERS = ("auto", "docker", "embedded", "external", "compose")


@dataclass(frozen=True)
class Image:
    """How a service runs in a container. `{user}`, `{password}`, `{database}` and `{port}` are filled in.

    The environment goes to the engine through its API, never on a command line.
    """

    reference: str
    port: int
    environment: Mapping[str, str]
    command: tuple[str, ...] = ()
    user: str = "dpone"
    shm_size: str = "256m"
    memory: str = ""
    """The most that the container may use, e.g. `3g`; empty: no limit."""
    needs_memory: int = 0
    """Bytes that the engine's machine must have, or the server refuses to start."""
    advertised: bool = False
    """If the server tells clients its address, so that the published port, `{port}`, is chosen before the start."""
    needs: tuple[str, ...] = ()
    """Services in containers that must be up before, and are reached by their own names as host names."""


@dataclass(frozen=True)
class Service:
    """One row. Empty fields: that provider is not implemented for the service yet."""

    name: str
    scheme: str = ""
    """Of addresses: `{scheme}://user:password@host:port`."""
    other_schemes: tuple[str, ...] = ()
    """What an address from outside may say instead: a synonym, or the scheme with TLS."""
    database: str = ""
    """Path of the address that we make."""
    own_database: str = ""
    """What it is instead on a server that we have started, where `prove` creates it."""
    client_modules: tuple[str, ...] = ()
    """What the readiness check needs, whoever provides the service."""
    extra: str = ""
    embedded: str = ""
    """Module of the keeper."""
    embedded_modules: tuple[str, ...] = ()
    embedded_user: str = ""
    image: Image | None = None
    variables: tuple[str, ...] = ()
    """Environment variables that hold an address."""
    log_hints: tuple[tuple[str, str], ...] = ()
    """What a text in the log of a failed start means: (text, what to do)."""
    no_embedded: str = "not implemented yet"
    below_path: bool = False
    """If the service may lie below a path of the server in its address."""
    no_provider: str = "not implemented yet"
    no_image: str = "not implemented yet"
    """Why there is no container of it."""

    @property
    def implemented(self) -> bool:
        """If any provider can serve it."""
        return bool(self.scheme)


_POSTGRES = Service(
    name="postgres",
    scheme="postgresql",
    other_schemes=("postgres",),
    database="postgres",
    client_modules=("psycopg",),
    extra="postgres",
    embedded="pytest_dpone.services.embedded.postgres",
    embedded_user="postgres",
    image=Image(
        reference="postgres:17.6",
        port=5432,
        environment={"POSTGRES_USER": "{user}", "POSTGRES_PASSWORD": "{password}", "POSTGRES_DB": "{database}"},
        command=(
            *("postgres", "-c", "wal_level=logical", "-c", "fsync=off", "-c", "max_connections=100"),
            *("-c", "max_replication_slots=20", "-c", "max_wal_senders=20", "-c", "max_wal_size=2GB"),
        ),
        user="postgres",
    ),
    variables=("DPONE_POSTGRES_URL",),
)
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
"""The module of Zstandard: in the standard library from Python 3.14 on."""

_CLICKHOUSE = Service(
    name="clickhouse",
    scheme="clickhouse",
    other_schemes=("clickhouses",),
    extra="clickhouse",
    embedded="pytest_dpone.services.embedded.clickhouse",
    embedded_modules=("chdb", "lz4", ZSTD),
    embedded_user="dpone",
    image=Image(
        reference="clickhouse/clickhouse-server:25.8",
        port=8123,
        environment={
            "CLICKHOUSE_USER": "{user}",
            "CLICKHOUSE_PASSWORD": "{password}",
            "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
        },
    ),
    variables=("DPONE_CLICKHOUSE_URL",),
)
_MINIO = Service(
    name="minio",
    scheme="s3",
    other_schemes=("s3s",),
    extra="minio",
    embedded="pytest_dpone.services.embedded.s3",
    embedded_modules=("moto", "werkzeug", "flask"),
    embedded_user="dpone",
    image=Image(
        reference="quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
        port=9000,
        environment={"MINIO_ROOT_USER": "{user}", "MINIO_ROOT_PASSWORD": "{password}"},
        command=("server", "/data"),
    ),
    variables=("DPONE_MINIO_URL",),
)
_MSSQL = Service(
    name="mssql",
    scheme="mssql",
    other_schemes=("mssqls",),
    database="master",
    own_database="dpone",
    client_modules=("pymssql",),
    extra="mssql",
    image=Image(
        # From CU 20 on it obeys the container's memory limit under cgroup v2.
        reference="mcr.microsoft.com/mssql/server:2022-CU26-ubuntu-22.04",
        port=1433,
        environment={
            "ACCEPT_EULA": "Y",
            "MSSQL_PID": "Developer",
            "MSSQL_SA_PASSWORD": "{password}",
            "MSSQL_MEMORY_LIMIT_MB": "2048",
        },
        user="sa",
        memory="3g",
        needs_memory=2_000_000_000,
    ),
    variables=("DPONE_MSSQL_URL",),
    log_hints=(
        ("at least 2000 megabytes of memory", "SQL Server needs 2 GB of memory: give Docker more"),
        ("password policy", "SQL Server wants 8 characters and more of three kinds: A-Z, a-z, 0-9, symbols"),
        ("ACCEPT_EULA", "the licence of SQL Server has to be accepted with ACCEPT_EULA=Y"),
    ),
    no_embedded="SQL Server needs a Docker Engine that has or can pull its image, or an address in DPONE_MSSQL_URL",
)
_JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";'
_KAFKA = Service(
    name="kafka",
    scheme="kafka",
    other_schemes=("kafkas",),
    client_modules=("confluent_kafka",),
    extra="kafka",
    embedded="pytest_dpone.services.embedded.kafka",
    embedded_modules=("kio", "crc32c", "cramjam"),
    embedded_user="dpone",
    image=Image(
        reference="apache/kafka:4.1.1",
        port=9092,
        advertised=True,
        environment={
            "CLUSTER_ID": "cHl0ZXN0LWRwb25lLTAwMQ",
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            # The names keep the image's scripts from asking for a file with logins: ours comes as a setting, below.
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
                "CLIENT:SASL_PLAINTEXT,PEERS:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            # CLIENT is published, PEERS is for other containers of the run, which call this one `kafka`.
            "KAFKA_LISTENERS": (
                "CLIENT://0.0.0.0:9092,PEERS://0.0.0.0:19092,BROKER://127.0.0.1:19093,CONTROLLER://127.0.0.1:9093"
            ),
            "KAFKA_ADVERTISED_LISTENERS": ("CLIENT://127.0.0.1:{port},PEERS://kafka:19092,BROKER://127.0.0.1:19093"),
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
            "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
            "KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG": _JAAS,
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_LOG_DIRS": "/tmp/kraft-combined-logs",
            "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
        },
    ),
    variables=("DPONE_KAFKA_URL",),
)
# Jetty reads its users from a file: it is written inside of the container, from the environment.
_REGISTRY_START = """
umask 077
printf '%s: %s,dpone\\n' "$DPONE_USER" "$DPONE_PASSWORD" > /tmp/dpone.users
module=org.eclipse.jetty.jaas.spi.PropertyFileLoginModule
echo "dpone { $module required file=\\"/tmp/dpone.users\\"; };" > /tmp/dpone.jaas
unset DPONE_USER DPONE_PASSWORD
exec /etc/confluent/docker/run
"""
_SCHEMA_REGISTRY = Service(
    name="schema_registry",
    scheme="http",
    other_schemes=("https",),
    below_path=True,
    extra="kafka",
    embedded="pytest_dpone.services.embedded.schema_registry",
    embedded_modules=("fastavro", "avro", "jsonschema", "jsoncompat"),
    embedded_user="dpone",
    image=Image(
        reference="confluentinc/cp-schema-registry:7.9.2",
        port=8081,
        environment={
            "SCHEMA_REGISTRY_HOST_NAME": "localhost",
            "SCHEMA_REGISTRY_LISTENERS": "http://0.0.0.0:8081",
            "SCHEMA_REGISTRY_KAFKASTORE_BOOTSTRAP_SERVERS": "PLAINTEXT://kafka:19092",
            "SCHEMA_REGISTRY_KAFKASTORE_TOPIC_REPLICATION_FACTOR": "1",
            "SCHEMA_REGISTRY_AUTHENTICATION_METHOD": "BASIC",
            "SCHEMA_REGISTRY_AUTHENTICATION_REALM": "dpone",
            "SCHEMA_REGISTRY_AUTHENTICATION_ROLES": "dpone",
            "SCHEMA_REGISTRY_OPTS": "-Djava.security.auth.login.config=/tmp/dpone.jaas",
            "DPONE_USER": "{user}",
            "DPONE_PASSWORD": "{password}",
        },
        command=("bash", "-c", _REGISTRY_START),
        needs=("kafka",),
    ),
    variables=("DPONE_SCHEMA_REGISTRY_URL",),
)
_API = Service(
    name="api",
    scheme="http",
    embedded="pytest_dpone.services.embedded.api",
    embedded_user="dpone",
    no_image="it is a server of ours, and embedded only",
)
"""A REST source of ours: the real thing by definition, so nobody else can provide it."""

SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        service.name: service
        for service in (
            _POSTGRES,
            _CLICKHOUSE,
            _MINIO,
            _MSSQL,
            _KAFKA,
            _SCHEMA_REGISTRY,
            _API,
        )
    }
)


def missing_modules(names: tuple[str, ...]) -> list[str]:
    """The modules of `names` that are not installed; nothing is imported but parent packages."""
    return [name for name in names if not _installed(name)]


def fill(template: str, values: Mapping[str, str]) -> str:
    """`template` with `{user}` and its like replaced."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


def docker_may_answer(environ: Mapping[str, str] = os.environ) -> bool:
    """A look without a connection: if there is any socket or address at which a Docker Engine might answer."""
    home = environ.get("HOME", "")
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    places = ("/var/run/docker.sock", f"{home}/.docker/run/docker.sock", f"{runtime}/docker.sock")
    return bool(environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT")) or any(map(os.path.exists, places))


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
