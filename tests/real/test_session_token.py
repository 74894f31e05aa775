"""Temporary credentials of S3: their session token goes with each request of the harness and of the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.services.ask import ask

from .front import Asked, Refusal, door

pytestmark = pytest.mark.real
TOKEN = "canary+/FwoGZXIvYXdzE==&x=1"  # its characters mean something in a query


class Guard:
    """Lets a request pass that has the token, signed; counts the others by the program that sent them."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.refused: list[str] = []

    def __call__(self, asked: Asked) -> Refusal | None:
        agent = asked.headers.get("user-agent", "pytest-dpone").split("/")[0].split()[0]
        signed = asked.headers.get("authorization", "").partition("SignedHeaders=")[2].partition(",")[0]
        if asked.headers.get("x-amz-security-token") == TOKEN and "x-amz-security-token" in signed.split(";"):
            self.passed.add(agent)
            return None
        self.refused.append(f"{agent}: {asked.method} {asked.target}")
        return 403, "application/xml", b"<Error><Code>InvalidToken</Code><Message>no token</Message></Error>"


def play(folder: Path, url: str, token: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DPONE_", "PYTEST_"))}
    words = ["--dpone-source=minio", "--dpone-sink=minio", "--dpone-strategy=full_refresh,replace", "--dpone-rows=40"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--dpone-profile=local_live", *words],
        cwd=folder, env={**kept, "DPONE_MINIO_URL": url, "DPONE_MINIO_TOKEN": token},
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_every_request_of_a_run_has_it(services: dict[str, ServiceInfo], tmp_path: Path) -> None:
    guard = Guard()
    with door(services["minio"].url.get_secret_value(), guard) as url:
        done = play(tmp_path, url, TOKEN)
    assert done.returncode == 0, done.stdout
    assert guard.refused == []
    assert {"pytest-dpone", "Boto3", "aws-sdk-cpp"} <= guard.passed  # readiness, harness, engine
    report = json.loads(next(tmp_path.rglob("certification_report.json")).read_text())
    assert report["passed"] is True
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert "canary" not in done.stdout + done.stderr + written


def test_without_it_the_run_is_red_and_the_hint_names_it(services: dict[str, ServiceInfo]) -> None:
    with door(services["minio"].url.get_secret_value(), Guard()) as url:
        with pytest.raises(ServiceFailed, match="HTTP 403: InvalidToken") as caught:
            ask("minio", url)
    assert "?token=" in caught.value.hint
