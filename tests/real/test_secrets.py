"""A password that an engine or a test lets out is in no output, no JUnit file and no artifact of a run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

CONFTEST = """
import sys
from pathlib import Path
from urllib.parse import urlsplit
from pytest_dpone import Support


class Talker:
    name = "talker"

    def supports(self, case):
        return Support(status="supported")

    def run(self, job):
        url = job.sink.url.get_secret_value()
        Path(__file__).with_name("known").write_text(urlsplit(url).password)
        print("connecting to", url)
        sys.stderr.write(url)
        raise RuntimeError(f"can't connect to {url}")


def pytest_dpone_engine(name):
    return Talker() if name == "talker" else None
"""
OWN_TEST = """
def test_own(dpone_postgres):
    url = dpone_postgres.url.get_secret_value()
    print(url)
    assert url == "postgresql://elsewhere"
"""


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["alone", "worker"])
def test_a_talkative_engine_gives_no_password_away(pytester: pytest.Pytester, workers: list[str]) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(OWN_TEST)
    result = pytester.runpytest_subprocess(
        *("-p", "no:hypothesispytest", "-vv", "--junitxml=junit.xml", "-o", "junit_logging=all", *workers),
        *("--dpone-engine=talker", "--dpone-dataset=narrow", "--dpone-rows=10", "--dpone-services=postgres=embedded"),
        *("--dpone-source=postgres", "--dpone-sink=postgres", "--dpone-strategy=full_refresh"),
        timeout=100,
    )
    assert result.ret == 1
    password = (pytester.path / "known").read_text()
    assert len(password) == len("Aa1-") + 32
    files = [path for path in pytester.path.rglob("*") if path.is_file() and path.name != "known"]
    texts = {path.name: path.read_bytes().decode(errors="replace") for path in files}
    assert {"junit.xml", "certification_report.json"} <= set(texts)
    texts["output"] = result.stdout.str() + result.stderr.str()
    assert [name for name, text in texts.items() if password in text] == []
    assert "can't connect to postgresql://postgres:***@127.0.0.1" in texts["output"]
    assert "connecting to postgresql://postgres:***@127.0.0.1" in texts["junit.xml"]


EAVESDROPPER = '''
import os
import threading
from pathlib import Path

import pytest

CANARIES = Path(os.environ["CANARY_FILE"]).read_bytes().split()
HEARD = Path(os.environ["CANARY_FILE"]).parent / "heard"


def hear(what, data):
    """Note what is said where a secret must not be; at once, in case that the process is killed."""
    with open(HEARD / f"{what}-{os.getpid()}", "ab") as file:
        file.write(data + b"\\n")


def pytest_configure(config):
    import execnet.gateway_base as gateway

    send = gateway.Channel.send

    def overheard(channel, item):
        hear("xdist", repr(item).encode())
        return send(channel, item)

    gateway.Channel.send = overheard
    if not hasattr(config, "workerinput"):
        threading.Thread(target=watch, daemon=True).start()


def watch():
    """The process list, as anybody on the machine sees it, and the environment of what we have started."""
    own = Path("/proc/self/cmdline").read_bytes()
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
                environ = (process / "environ").read_bytes()
            except OSError:
                continue
            tests = command == own or b"exec(eval(sys.stdin.readline()))" in command
            if any(canary in command for canary in CANARIES):
                hear("processes", command)
            if not tests and any(canary in environ for canary in CANARIES):
                hear("processes", b"environ of " + command + environ)
            if b"pytest_dpone.services" in command:
                hear("seen", command)
        threading.Event().wait(0.05)


class Talker:
    name = "talker"

    def supports(self, case):
        from pytest_dpone import Support

        return Support(status="supported")

    def run(self, job):
        text = f"{job.source.url.get_secret_value()} {job.sink.url.get_secret_value()}"
        print("moving", text)
        raise RuntimeError(f"can't move {text}")


def pytest_dpone_engine(name):
    return Talker() if name == "talker" else None
'''
TALKATIVE_TESTS = """
import logging
import warnings

import pytest


@pytest.mark.parametrize("name", ["postgres", "clickhouse", "minio", "kafka", "schema_registry"])
def test_own(request, name):
    handle = request.getfixturevalue(f"dpone_{name}")
    assert handle.namespace
    url = handle.url.get_secret_value()
    print("using", url)
    logging.getLogger("own").warning("using %s", url)
    warnings.warn(f"using {url}")
    assert url == "elsewhere", repr(handle)


def test_skipped(dpone_kafka):
    pytest.skip(f"not with {dpone_kafka.url.get_secret_value()}")


def test_sql_server(dpone_mssql):
    raise AssertionError("nobody is there")
"""


@pytest.fixture(scope="module")
def everything() -> Iterator[dict[str, str]]:
    """Addresses of all services, each with a secret of its own; nobody answers at SQL Server's."""
    names = ("postgres", "clickhouse", "minio", "kafka", "schema_registry")
    run_id = f"canary{secrets.token_hex(4)}"
    with Stack.launch(StackSettings(run_id=run_id, providers=dict.fromkeys(names, "embedded"))) as stack:
        urls = {name: info.url.get_secret_value() for name, info in stack.ensure(names).items()}
        urls["minio"] += f"?token=canary-{secrets.token_hex(8)}"
        urls["mssql"] = f"mssql://sa:canary-{secrets.token_hex(8)}@127.0.0.1:1/db"
        yield urls


def secrets_of(urls: dict[str, str]) -> list[str]:
    passwords = [str(urlsplit(url).password) for url in urls.values()]
    return [*passwords, urls["minio"].partition("token=")[2]]


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_no_secret_of_any_service_gets_out(
    pytester: pytest.Pytester,
    everything: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    workers: str,
) -> None:
    canaries = secrets_of(everything)
    assert len(set(canaries)) == 7
    for name, url in everything.items():
        monkeypatch.setenv(f"DPONE_{name.upper()}_URL", url)
    (tmp_path / "heard").mkdir()
    (tmp_path / "canaries").write_text("\n".join(canaries))
    monkeypatch.setenv("CANARY_FILE", str(tmp_path / "canaries"))
    pytester.makeconftest(EAVESDROPPER)
    pytester.makepyfile(TALKATIVE_TESTS)
    result = pytester.runpytest_subprocess(
        *("-p", "no:hypothesispytest", "-vv", "-rA", "--junitxml=junit.xml", "-o", "junit_logging=all", workers),
        *("--dpone-profile=local_live", "--dpone-engine=talker", "--dpone-dataset=narrow", "--dpone-rows=10"),
        *("--dpone-source=postgres,clickhouse", "--dpone-sink=minio,kafka", "--dpone-strategy=full_refresh"),
        "--dpone-keep=failed",
        timeout=200,
    )
    assert result.ret == 1
    texts = {str(path): path.read_text(errors="replace") for path in pytester.path.rglob("*") if path.is_file()}
    texts |= {f"heard {path.name}": path.read_text(errors="replace") for path in (tmp_path / "heard").iterdir()}
    texts["output"] = result.stdout.str() + result.stderr.str()
    assert [(name, n) for name, text in texts.items() for n, canary in enumerate(canaries) if canary in text] == []
    assert not [name for name in texts if name.startswith("heard processes")]
    # There was something to let out, and somebody to hear it.
    assert "can't move postgresql://postgres:***@127.0.0.1" in texts["output"]
    assert texts["output"].count("***") > 20
    assert any(name.startswith("heard seen") for name in texts)
    assert any(name.startswith("heard xdist") for name in texts) == (workers != "-n0")
    assert "mssql" in texts["output"]
