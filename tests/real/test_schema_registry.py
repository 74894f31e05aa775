"""Our Schema Registry as a process: who may come in, what it takes and gives, and how it ends."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services import lease
from pytest_dpone.services.ask import ask, prove
from pytest_dpone.services.embedded.schema_registry_http import EMULATED
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

V1 = "application/vnd.schemaregistry.v1+json"


def launch() -> Stack:
    name = f"test-{secrets.token_hex(4)}"
    return Stack.launch(StackSettings(run_id=name, providers={"schema_registry": "embedded"}))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with launch() as stack:
        yield stack.ensure(["schema_registry"])["schema_registry"].url.get_secret_value()


@pytest.fixture
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    made = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    yield made
    made.close()


def login(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {"Authorization": f"Basic {base64.b64encode(f'{parts.username}:{parts.password}'.encode()).decode()}"}


def send(connection: Any, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, Any]:  # type: ignore[type-arg]
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, body=data, headers=given)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), json.loads(answer.read())


def test_it_says_at_any_address_that_it_is_a_stand_in(connection: http.client.HTTPConnection, url: str) -> None:
    told = send(connection, "GET", "/v1/metadata/version", **login(url))[2]
    assert (told["product"], told["emulated"]) == ("pytest-dpone", EMULATED)
    assert send(connection, "GET", "/v1/metadata/version")[0] == 401


def test_it_starts_with_a_record_that_says_what_it_is() -> None:
    started = time.monotonic()
    with launch() as stack:
        record = stack.ensure(["schema_registry"])["schema_registry"].record
        assert time.monotonic() - started < 5.0
    assert (record.product, record.provider, record.fidelity) == ("pytest-dpone", "embedded", "emulated")
    assert "in memory only" in record.emulated
    assert "Protobuf is stored and not checked" in record.emulated


@pytest.mark.parametrize("given", ["", "Basic ", "Basic !!!", "Basic eDp5", "Bearer eDp5", "Basic ZHBvbmU6"])
def test_nobody_else_comes_in(connection: http.client.HTTPConnection, given: str) -> None:
    for _ in range(2):  # the body of what is refused is not taken for the next request
        headers = {"Authorization": given} if given else {}
        status, told, content = send(connection, "POST", "/subjects/s/versions", {"schema": "int"}, **headers)
        assert (status, content) == (401, {"error_code": 401, "message": "Unauthorized"})
        assert told["WWW-Authenticate"].startswith("Basic ")


def test_content_types(connection: http.client.HTTPConnection, url: str) -> None:
    path, body = "/subjects/types/versions", {"schema": '"int"'}
    for kind in (V1, "application/vnd.schemaregistry+json", "application/json", "application/octet-stream"):
        status, told, _ = send(connection, "POST", path, body, Content_Type=f"{kind}; charset=utf-8", **login(url))
        assert (status, told["Content-Type"]) == (200, V1)
    _, told, _ = send(connection, "GET", "/subjects", Accept="application/json", **login(url))
    assert told["Content-Type"] == "application/json"
    assert send(connection, "POST", path, body, Content_Type="text/plain", **login(url))[0] == 415


def test_bodies_that_are_no_requests(connection: http.client.HTTPConnection, url: str) -> None:
    status, _, told = send(connection, "POST", "/subjects/s/versions", b"{", **login(url))
    assert (status, told["error_code"]) == (400, 400)
    status, _, told = send(connection, "POST", "/subjects/s/versions", b"\xff", **login(url))
    assert status == 400
    deep = b"[" * 100_000
    assert send(connection, "POST", "/subjects/s/versions", deep, **login(url))[0] in (400, 500)
    connection.close()
    status, _, told = send(connection, "POST", "/s", b"", Content_Length=str(1 << 40), **login(url))
    assert (status, told["error_code"]) == (413, 413)


def test_many_at_once_make_one_version(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    parts = urlsplit(url)

    def put(_: int) -> int:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            return int(send(connection, "POST", "/subjects/race/versions", {"schema": '"long"'}, **login(url))[2]["id"])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(put, range(64)))) == 1


def test_the_readiness_check_leaves_nothing(connection: http.client.HTTPConnection, url: str) -> None:
    before = send(connection, "GET", "/subjects?deleted=true", **login(url))[2]
    prove("schema_registry", url)
    assert send(connection, "GET", "/subjects?deleted=true", **login(url))[2] == before
    assert not any("ready" in name for name in before)


def test_a_refusal_shows_no_password(url: str) -> None:
    password = str(urlsplit(url).password)
    with pytest.raises(ServiceFailed) as caught:
        ask("schema_registry", url.replace(password, "canary-77aa"))
    assert caught.value.fact == "HTTP 401: Unauthorized"
    assert caught.value.hint == "check the user name and the password in the address"
    with pytest.raises(ServiceFailed) as caught:
        prove("schema_registry", url.replace(password, "canary-77aa"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("port", ["", "9"])
def test_an_address_from_outside(url: str, port: str) -> None:
    parts = urlsplit(url)
    for password in (parts.password, "canary-77aa"):
        address = f"http://{parts.username}:{password}@127.0.0.1:{port or parts.port}"
        name = f"test-{secrets.token_hex(4)}"
        with Stack.launch(StackSettings(run_id=name, external={"schema_registry": SecretStr(address)})) as stack:
            assert stack.choose(["schema_registry"])["schema_registry"].provider == "external"
            if password != "canary-77aa" and not port:
                assert stack.ensure(["schema_registry"])["schema_registry"].record.provider == "external"
                continue
            with pytest.raises(ServiceFailed) as caught:
                stack.ensure(["schema_registry"])
            assert f"the server at http://127.0.0.1:{port or parts.port}" in caught.value.fact
            assert str(password) not in str(caught.value)


def test_a_server_of_another_kind(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(10)
        port = other.getsockname()[1]
        script = f"from pytest_dpone.services.ask import ask; ask('schema_registry', 'http://127.0.0.1:{port}')"
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
        peer, _ = other.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"HELLO\r\n")
        _, error = process.communicate(timeout=20)
        assert "no HTTP answer" in error


def test_a_killed_registry_is_told_as_dead() -> None:
    with launch() as stack:
        stack.ensure(["schema_registry"])
        owner = lease.read_owner(Path(stack.address).parent.parent)
        assert owner is not None
        for process in owner.processes:
            os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while stack.died("schema_registry") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "schema_registry (embedded) died: killed by SIGKILL" in str(stack.died("schema_registry"))


def test_serve_prints_the_address_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "pytest_dpone.cli.main", "serve", "schema-registry"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert ask("schema_registry", address).product == "pytest-dpone"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stop it with Ctrl-C" in told
    with pytest.raises(OSError):
        ask("schema_registry", address)
