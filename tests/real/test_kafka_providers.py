"""Kafka as each provider has it: our broker, Apache Kafka from a folder, a container, a server of somebody else."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import ServiceFailed, ServiceUnavailable
from pytest_dpone.services.ask import ask
from pytest_dpone.services.kafka_address import parse_address
from pytest_dpone.services.lease import read_owner
from pytest_dpone.services.stack import Stack, StackSettings

from .kafka_client import WAIT, Kafka, home_or_skip, unique

pytest.importorskip("confluent_kafka")

pytestmark = pytest.mark.real

IMAGE = "pytest-dpone-test/kafka:4.1.1"


def launch(provider: str = "embedded", **changes: Any) -> Stack:
    return Stack.launch(StackSettings(run_id=unique("t"), providers={"kafka": provider}, **changes))


def works(info: ServiceInfo) -> None:
    """Messages pass, one by one and in transactions."""
    kafka = Kafka(info.url.get_secret_value())
    topic = kafka.topic(2)
    kafka.send(topic, [{"key": b"%d" % i, "value": b"x"} for i in range(100)])
    producer = kafka.transactions()
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction(WAIT)
    found = kafka.read(topic, 101, isolation_level="read_committed")
    assert sorted(message.value() for message in found) == [b"committed", *[b"x"] * 100]
    kafka.remove_topics()


def processes(stack: Stack) -> list[int]:
    owner = read_owner(Path(stack.address).parent.parent)
    assert owner is not None
    return [process.pid for process in owner.processes]


def hides_its_password(info: ServiceInfo, stack: Stack) -> None:
    """It is on no command line and in no log, and the servers are not root's."""
    password = parse_address(info.url.get_secret_value()).password
    assert len(password) >= 16
    assert password not in Path(info.log).read_text()
    for pid in processes(stack):
        assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    users = {Path(f"/proc/{pid}").stat().st_uid for pid in processes(stack)[-1:]}
    assert 0 not in users


def test_our_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    with launch() as stack:
        info = stack.ensure(["kafka"])["kafka"]
        assert (info.record.product, info.record.fidelity) == ("pytest-dpone broker", "emulated")
        assert "classic protocol" in info.record.emulated
        hides_its_password(info, stack)
        works(info)
        parts = parse_address(info.url.get_secret_value())
        assert parts.servers[0][0] == "127.0.0.1"


def test_apache_kafka_from_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    home = home_or_skip()
    monkeypatch.setenv("DPONE_KAFKA_HOME", home)
    with launch() as stack:
        info = stack.ensure(["kafka"])["kafka"]
        assert (info.record.product, info.record.fidelity, info.record.emulated) == ("Apache Kafka", "real", "")
        assert any(info.record.version in jar.name for jar in Path(home).glob("libs/kafka_*.jar"))
        hides_its_password(info, stack)
        works(info)
        scram_works(info)
        asked = ask("kafka", info.url.get_secret_value())
        assert info.record.version.startswith(asked.version)
        assert asked.fidelity == "real"


def scram_works(info: ServiceInfo) -> None:
    from confluent_kafka import admin

    kafka = Kafka(info.url.get_secret_value())
    for number, mechanism in ((256, "SCRAM_SHA_256"), (512, "SCRAM_SHA_512")):
        user = f"scram{number}"
        credentials = admin.ScramCredentialInfo(admin.ScramMechanism[mechanism], 4096)
        change = admin.UserScramCredentialUpsertion(user, credentials, b"s3cret/%")
        kafka.admin.alter_user_scram_credentials([change])[user].result(WAIT)
        url = f"kafka://{user}:s3cret%2F%25@{parse_address(kafka.url).bootstrap}?sasl=scram-sha-{number}"
        until = time.monotonic() + WAIT
        while True:
            try:
                assert ask("kafka", url).product == "Apache Kafka"
                break
            except ServiceFailed:  # the node learns of the user a moment later
                assert time.monotonic() < until
        with pytest.raises(ServiceFailed, match=r"(?i)authentication") as caught:
            ask("kafka", url.replace("s3cret", "canary"))
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("variable", ["KAFKA_HOME", "DPONE_KAFKA_HOME"])
def test_a_folder_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    with launch() as stack, pytest.raises(ServiceUnavailable, match="there is no libs") as caught:
        stack.ensure(["kafka"])
    assert f"unset {variable}" in caught.value.fact


def test_a_run_with_a_folder_that_is_none_is_red(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", "kafka")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")  # nobody is there
    pytester.makepyfile("def test_own(dpone_kafka): pass")
    done = pytester.runpytest_subprocess("--dpone-profile=local_live", "--dpone-source=kafka", "-k", "own")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*KAFKA_HOME is a relative path; give the whole path, or unset KAFKA_HOME*"])


@pytest.fixture
def engine() -> Iterator[Any]:
    docker = pytest.importorskip("docker")
    from pytest_dpone.services.docker_engine import look

    seen = look({"kafka": IMAGE})
    if not seen.engine:
        pytest.skip(seen.error)
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"no image {IMAGE}; docker/test-images/build.sh kafka makes it")
    yield client
    client.close()


def test_a_container(engine: Any) -> None:
    from pytest_dpone.services.docker_engine import RUN_LABEL

    with launch("docker", images={"kafka": IMAGE}) as stack:
        info = stack.ensure(["kafka"])["kafka"]
        assert (info.record.product, info.record.version, info.record.fidelity) == ("Apache Kafka", "4.1", "real")
        assert (info.record.image, info.record.digest[:7]) == (IMAGE, "sha256:")
        owner = read_owner(Path(stack.address).parent.parent)
        assert owner is not None
        container = engine.containers.get(owner.containers[0])
        port = parse_address(info.url.get_secret_value()).servers[0][1]
        assert container.ports == {"9092/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
        works(info)
        run_id = owner.run_id
        with pytest.raises(ServiceFailed, match=r"(?i)authentication"):
            ask("kafka", info.url.get_secret_value().replace("@", "x@"))
    assert engine.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run_id}"}) == []


class TlsFront:
    """TLS in front of a broker of ours in this process, which tells clients the front's address."""

    def __init__(self, folder: Path) -> None:
        from pytest_dpone.services.embedded.kafka_server import Login, serve
        from pytest_dpone.services.embedded.kafka_state import Broker

        self.authorities = certify(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        front, back = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        front.setblocking(False)
        back.setblocking(False)
        self.port = front.getsockname()[1]

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner, outer = await asyncio.open_connection("127.0.0.1", back.getsockname()[1])

            async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                try:
                    while data := await source.read(65536):
                        target.write(data)
                        await target.drain()
                except OSError:
                    pass
                finally:
                    target.close()

            await asyncio.gather(pump(reader, outer), pump(inner, writer))

        async def main() -> None:
            self.stop = asyncio.Event()
            self.loop = asyncio.get_running_loop()
            server = await asyncio.start_server(forward, sock=front, ssl=context)
            serving = asyncio.create_task(serve(Broker("127.0.0.1", self.port), Login("u", "p4ssw0rd"), back))
            self.up.set()
            await self.stop.wait()
            serving.cancel()
            server.close()
            await asyncio.gather(serving, return_exceptions=True)

        self.up = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        self.thread.start()
        assert self.up.wait(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)


def certify(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem"


def test_tls_of_a_server_of_somebody_else(tmp_path: Path) -> None:
    front = TlsFront(tmp_path)
    try:
        url = f"kafkas://u:p4ssw0rd@127.0.0.1:{front.port}?ca={front.authorities}"
        with launch("external", external={"kafka": SecretStr(url)}) as stack:
            info = stack.ensure(["kafka"])["kafka"]
            assert (info.record.provider, info.record.fidelity) == ("external", "emulated")
            works(info)
        for wrong, fact in [
            (url.partition("?")[0], "certificate verify failed"),
            (url.replace("kafkas", "kafka").partition("?")[0], "refused|can't be reached"),
            (url.replace("p4ssw0rd", "canary99"), "(?i)authentication"),
        ]:
            with launch("external", external={"kafka": SecretStr(wrong)}) as stack:
                with pytest.raises(ServiceFailed, match=fact) as caught:
                    stack.ensure(["kafka"])
                assert "p4ssw0rd" not in str(caught.value)
                assert "canary99" not in str(caught.value)
    finally:
        front.close()


def test_a_list_of_servers_of_which_one_is_down(kafka_url: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = f"127.0.0.1:{nobody.getsockname()[1]}"
        url = kafka_url.replace("@", f"@{down},")
        with launch("external", external={"kafka": SecretStr(url)}) as stack:
            works(stack.ensure(["kafka"])["kafka"])
