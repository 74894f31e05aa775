"""Apache Kafka from a folder: where it is looked for, and its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dpone.errors import UsageError
from pytest_dpone.services.embedded.kafka_real import find_java, locate, properties


def java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "kafka" / "libs").mkdir(parents=True)
    for name in ("kafka_2.13-4.1.1.jar", "kafka_2.13-4.1.1-sources.txt", "kafka-clients-4.1.1.jar"):
        (tmp_path / "kafka" / "libs" / name).touch()
    return tmp_path / "kafka"


def test_a_folder_and_a_java_make_a_home(home: Path, tmp_path: Path) -> None:
    good, old = java(tmp_path / "new", "17.0.15"), java(tmp_path / "old", "1.8.0_392")
    for variable in ("KAFKA_HOME", "DPONE_KAFKA_HOME"):
        found = locate({variable: str(home), "JAVA_HOME": str(good), "PATH": ""})
        assert found is not None
        assert (found.folder, found.java, found.version) == (home, str(good / "bin" / "java"), "4.1.1")
    path = {"PATH": f"{old / 'bin'}"}
    assert find_java(path) == ""
    assert find_java({**path, "JAVA_HOME": str(old)}) == ""
    assert find_java({"PATH": str(good / "bin")}) == str(good / "bin" / "java")
    assert locate({}) is None
    assert locate({"KAFKA_HOME": "", "DPONE_KAFKA_HOME": ""}) is None


@pytest.mark.parametrize("variable", ["KAFKA_HOME", "DPONE_KAFKA_HOME"])
def test_a_variable_that_is_set_is_meant_seriously(
    home: Path, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, fact in (
        (str(tmp_path), r"there is no libs/kafka_\*\.jar"),
        (str(home), "there is no Java of version 17 or later"),
        ("kafka", f"{variable} is a relative path"),
        ("~/kafka", f"{variable} is a relative path"),
    ):
        with pytest.raises(UsageError, match=fact) as caught:
            locate({variable: folder, "PATH": ""})
        assert f"or unset {variable}: then the broker that comes with pytest-dpone runs" in caught.value.hint


def test_our_own_variable_comes_first(home: Path, tmp_path: Path) -> None:
    environ = {"DPONE_KAFKA_HOME": str(home), "KAFKA_HOME": "/nowhere", "PATH": str(java(tmp_path / "j", "21") / "bin")}
    assert locate(environ) is not None
    with pytest.raises(UsageError):
        locate({**environ, "DPONE_KAFKA_HOME": ""})


def test_the_settings_of_a_node() -> None:
    text = properties(user="u", password="p4ss", client=1, controller=2, data=Path("/d"))
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == "CLIENT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:2"
    assert settings["log.dirs"] == "/d"
    assert settings["listener.name.client.plain.sasl.jaas.config"].endswith(
        'username="u" password="p4ss" user_u="p4ss";'
    )
    assert "PLAINTEXT" not in settings["listener.security.protocol.map"].replace("SASL_PLAINTEXT", "")
    assert "{" not in text
