"""A password that an engine or a test lets out is in no output, no JUnit file and no artifact of a run."""

from __future__ import annotations

import pytest

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
