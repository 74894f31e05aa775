"""The stack with real services: one start for all, and nothing left after any kind of end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from pytest_dpone.errors import ServiceFailed, ServiceUnavailable, UsageError
from pytest_dpone.services import lease, survey
from pytest_dpone.services.ask import ask
from pytest_dpone.services.life import start_ticks
from pytest_dpone.services.stack import Stack, StackSettings

pytestmark = pytest.mark.real

ALL = ("postgres", "clickhouse", "kafka", "minio", "schema_registry")
CONTROLLER = """
import json, sys
from pytest_dpone.services.stack import Stack, StackSettings
names = sys.argv[2:]
stack = Stack.launch(StackSettings(run_id=sys.argv[1], providers=dict.fromkeys(names, "embedded")))
stack.ensure(names)
print(json.dumps({"address": stack.address}), flush=True)
sys.stdin.read()
"""


def settings(**changes: object) -> StackSettings:
    values: dict[str, object] = {"run_id": f"t-{uuid.uuid4().hex[:12]}", "providers": dict.fromkeys(ALL, "embedded")}
    return StackSettings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack.launch(settings()) as stack:
        yield stack


class Controller:
    """Another process that has launched a stack."""

    def __init__(self, *names: str) -> None:
        self.run_id = f"t-{uuid.uuid4().hex[:12]}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, self.run_id, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.address = str(json.loads(self.process.stdout.readline())["address"])
        self.directory = Path(self.address).parent.parent
        owner = lease.read_owner(self.directory)
        assert owner is not None
        assert owner.supervisor is not None
        self.supervisor = owner.supervisor
        self.processes = (owner.supervisor, *owner.processes)

    def alive(self) -> list[int]:
        return [p.pid for p in self.processes if start_ticks(p.pid) == p.start]

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def controller(own_base: Path) -> Iterator[Controller]:
    controller = Controller("postgres", "minio")
    yield controller
    controller.end()


def eventually(true: object, *, seconds: float = 10.0) -> bool:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_all_are_ready_within_five_seconds(stack: Stack) -> None:
    started = time.monotonic()
    services = stack.ensure(ALL)
    elapsed = time.monotonic() - started
    assert elapsed < 5.0
    assert {name: info.record.fidelity for name, info in services.items()} == {
        "postgres": "real",
        "clickhouse": "engine",
        "minio": "emulated",
        "kafka": "emulated",
        "schema_registry": "emulated",
    }
    for name, info in services.items():
        answer = ask(name, info.url.get_secret_value())
        assert info.record.provider == "embedded"
        assert info.record.name == name
        assert info.record.version
        if name != "minio":
            assert (info.record.product, info.record.version) == (answer.product, answer.version)
        assert bool(info.record.emulated) == (info.record.fidelity != "real")


def test_many_askers_get_the_same_services(stack: Stack) -> None:
    results: list[dict[str, str]] = []

    def ask_all() -> None:
        services = Stack.connect(stack.address).ensure(ALL)
        results.append({name: info.url.get_secret_value() for name, info in services.items()})

    threads = [threading.Thread(target=ask_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(result == results[0] for result in results)


def test_another_process_connects(stack: Stack) -> None:
    code = (
        "import sys; from pytest_dpone.services.stack import Stack;"
        "print(Stack.connect(sys.argv[1]).ensure(['postgres'])['postgres'].url.get_secret_value())"
    )
    done = subprocess.run([sys.executable, "-c", code, stack.address], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stack.ensure(["postgres"])["postgres"].url.get_secret_value()


def test_a_wrong_password_is_refused(stack: Stack) -> None:
    for name, info in stack.ensure(ALL).items():
        url = info.url.get_secret_value()
        with pytest.raises(ServiceFailed) as caught:
            ask(name, url.replace(str(urlsplit(url).password), "wrongwrong"))
        assert "check the user name and the password" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be anybody else")
def test_no_stand_in_runs_as_root(stack: Stack) -> None:
    stack.ensure(ALL)
    owner = lease.read_owner(Path(stack.address).parent.parent)
    assert owner is not None
    users = {}
    for process in owner.processes:
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        users[command] = Path(f"/proc/{process.pid}").stat().st_uid
        status = Path(f"/proc/{process.pid}/status").read_text()
        if "embedded.postgres" not in command:  # that one only starts the server, which is in the list too
            assert "Uid:\t65534\t65534\t65534\t65534" in status, command
            assert "Groups:\t \n" in status, command
    assert len(users) == 6


def test_secrets_are_on_no_command_line_and_in_no_log(stack: Stack) -> None:
    secrets = [str(urlsplit(i.url.get_secret_value()).password) for i in stack.ensure(ALL).values()]
    directory = Path(stack.address).parent.parent
    owner = lease.read_owner(directory)
    assert owner is not None
    texts = [Path(f"/proc/{p.pid}/{part}").read_bytes() for p in owner.processes for part in ("cmdline", "environ")]
    texts += [path.read_bytes() for path in directory.iterdir() if path.is_file()]
    assert len(texts) > 8
    for secret in secrets:
        assert len(secret) >= 32
        assert not any(secret.encode() in text for text in texts)


def test_run_directory_is_closed_to_others(stack: Stack) -> None:
    directory = Path(stack.address).parent.parent
    assert directory.stat().st_mode & 0o777 == 0o711
    assert (directory / "private").stat().st_mode & 0o777 == 0o700
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_two_stacks_do_not_touch_each_other(stack: Stack) -> None:
    first = stack.ensure(["postgres"])["postgres"].url.get_secret_value()
    with Stack.launch(settings()) as other:
        second = other.ensure(["postgres"])["postgres"].url.get_secret_value()
        assert urlsplit(first).port != urlsplit(second).port
    assert ask("postgres", first).product == "PostgreSQL"
    with pytest.raises(ServiceFailed):
        ask("postgres", second)


def test_close_leaves_nothing() -> None:
    stack = Stack.launch(settings())
    info = stack.ensure(["postgres", "clickhouse", "minio"])
    directory = Path(stack.address).parent.parent
    owner = lease.read_owner(directory)
    assert owner is not None
    assert len(owner.processes) == 4
    started = time.monotonic()
    stack.close()
    assert time.monotonic() - started < 15.0  # else the supervisor was killed, and did not stop by itself
    assert not directory.exists()
    assert [p.pid for p in owner.processes if start_ticks(p.pid) == p.start] == []
    for name, service in info.items():
        with pytest.raises((ServiceFailed, OSError)):
            ask(name, service.url.get_secret_value())
    stack.close()
    with pytest.raises(ServiceFailed, match="supervisor does not answer"):
        stack.ensure(["postgres"])


def test_same_run_id_twice_is_refused(stack: Stack) -> None:
    taken = Path(stack.address).parent.parent.name
    with pytest.raises(UsageError, match="is there already"):
        Stack.launch(settings(run_id=taken))
    assert stack.died("postgres") is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_controller_ends_everything(controller: Controller, number: signal.Signals) -> None:
    assert len(controller.alive()) == 5 - 1
    controller.process.send_signal(number)
    controller.process.wait(timeout=30)
    assert eventually(lambda: not controller.alive() and not controller.directory.exists())


def test_a_forked_child_of_the_controller_does_not_keep_the_services(controller: Controller) -> None:
    # The grandchild inherits the controller's end of the supervisor's pipe, so that only the pidfd tells the end.
    fork = "import os, time\nif os.fork() == 0:\n    time.sleep(30)\n    os._exit(0)\nprint(json"
    code = CONTROLLER.replace("print(json", fork)
    run_id = f"t-{uuid.uuid4().hex[:12]}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, run_id, "minio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    directory = Path(json.loads(process.stdout.readline())["address"]).parent.parent
    try:
        process.kill()
        process.wait()
        assert eventually(lambda: not directory.exists())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.stdout.close()


def test_ctrl_c_at_the_terminal_does_not_reach_the_services(controller: Controller) -> None:
    groups = {os.getpgid(pid) for pid in controller.alive()}
    assert os.getpgid(controller.process.pid) not in groups
    assert {os.getsid(pid) for pid in controller.alive()}.isdisjoint({os.getsid(controller.process.pid)})


def test_a_killed_supervisor_takes_the_services_along_and_the_next_launch_cleans_up(controller: Controller) -> None:
    os.kill(controller.supervisor.pid, signal.SIGKILL)
    assert eventually(lambda: not controller.alive())
    assert controller.directory.exists()
    with pytest.raises(ServiceFailed, match="supervisor does not answer"):
        Stack.connect(controller.address)
    with Stack.launch(settings()):
        assert not controller.directory.exists()


def test_a_live_run_is_not_reaped(controller: Controller) -> None:
    with Stack.launch(settings()):
        assert controller.directory.exists()
    assert len(controller.alive()) == 4
    assert Stack.connect(controller.address).died("postgres") is None


@pytest.mark.parametrize("name", ALL)
def test_a_killed_service_is_seen_and_not_started_again(name: str) -> None:
    with Stack.launch(settings()) as stack:
        stack.ensure([name])
        assert stack.died(name) is None
        owner = lease.read_owner(Path(stack.address).parent.parent)
        assert owner is not None
        pid = owner.processes[-1].pid
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: start_ticks(pid) is None)
        # From the moment on at which the process is gone: what fails by that is never blamed on a case.
        text = stack.died(name)
        assert text is not None
        assert text.startswith(f"{name} (embedded) died:")
        assert "killed by SIGKILL" in text
        with pytest.raises(ServiceFailed, match="died"):
            stack.ensure([name])


def test_a_server_of_somebody_else(stack: Stack) -> None:
    """A stand-in is not taken for the real thing: else a release profile would certify against our own servers."""
    own = stack.ensure(ALL)
    external = {name: info.url for name, info in own.items()}
    with Stack.launch(settings(providers={}, external=external)) as other:
        services = other.ensure(ALL)
        for name, info in services.items():
            assert info.url == external[name]
            assert info.record == own[name].record.model_copy(update={"provider": "external"}), "it says so itself"
            assert (info.record.fidelity == "real") == (name == "postgres")
            assert info.record.version
            assert other.died(name) is None
    assert stack.died("postgres") is None
    assert ask("postgres", external["postgres"].get_secret_value()).product == "PostgreSQL"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("change", "fact", "hint"),
    [
        ({"password": "canary-42-canary"}, "refused", "check the user name and the password"),
        ({"port": "1"}, "refused", "server is up"),
        ({"host": "no-such-host.invalid"}, "no-such-host.invalid", "host"),
    ],
)
def test_a_server_of_somebody_else_that_fails(
    stack: Stack, name: str, change: dict[str, str], fact: str, hint: str
) -> None:
    parts = urlsplit(stack.ensure(ALL)[name].url.get_secret_value())
    password = change.get("password", str(parts.password))
    host, port = change.get("host", "127.0.0.1"), change.get("port", parts.port)
    url = f"{parts.scheme}://{parts.username}:{password}@{host}:{port}{parts.path}"
    with Stack.launch(settings(providers={}, external={name: SecretStr(url)})) as other:
        with pytest.raises(ServiceFailed) as caught:
            other.ensure([name])
        assert fact in caught.value.fact
        assert hint in caught.value.hint
        assert password not in str(caught.value)
        assert f"{host}:{port}" in caught.value.fact


def test_what_is_not_there_yet_is_told_before_anything_starts(stack: Stack) -> None:
    choices = stack.choose(["mssql", "postgres"])
    assert [choice.provider for choice in choices.values()] == [None, "embedded"]
    with Stack.launch(settings()) as other:
        with pytest.raises(ServiceUnavailable, match="mssql: no provider can serve it"):
            other.ensure(["postgres", "mssql"])
        assert not (Path(other.address).parent.parent / "postgres").exists()
    with pytest.raises(UsageError, match="unknown service 'postgress'") as caught:
        stack.ensure(["postgress"])
    assert "did you mean postgres?" in caught.value.hint


def test_a_bad_question_ends_nobody(stack: Stack) -> None:
    for request in (b"nonsense\n", b"[]\n", b'{"op": "ensure"}\n', b'{"op": "ensure", "names": ["oracle"]}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(stack.address)
            connection.sendall(request)
            answer = connection.makefile("rb").readline()
        assert answer == b"" or "error" in json.loads(answer)
    assert stack.died("postgres") is None
    assert set(stack.ensure(["minio"])) == {"minio"}


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = tmp_path / "bin"
    for directory in (binaries, tmp_path / "share"):
        directory.mkdir()
    (tmp_path / "share" / "postgres.bki").touch()
    for name in ("initdb", "postgres"):
        (binaries / name).write_text("#!/bin/sh\necho 'it is broken' >&2\n[ $1 = --version ] && exit 0\nexit 7\n")
        (binaries / name).chmod(0o755)
    monkeypatch.setenv("DPONE_POSTGRES_BIN", str(binaries))
    with Stack.launch(settings()) as stack:
        with pytest.raises(ServiceFailed) as caught:
            stack.ensure(["postgres"])
        assert "postgres (embedded) could not be started (after " in caught.value.fact
        assert "exit status 7" in caught.value.fact
        assert "it is broken" in caught.value.fact
        owner = lease.read_owner(Path(stack.address).parent.parent)
        assert owner is not None
        assert eventually(lambda: all(start_ticks(p.pid) != p.start for p in owner.processes))
        assert stack.ensure(["minio"])["minio"].record.product == "moto"


def test_the_doctor_knows_what_is_embedded() -> None:
    with Stack.launch(settings()) as fresh:
        for name, info in fresh.ensure(ALL).items():
            version, fidelity = survey.find_embedded(name)
            assert fidelity == info.record.fidelity
            assert info.record.version.split(".")[:2] == version.split(".")[:2]
