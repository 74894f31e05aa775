"""Run directories: who is alive is told by a lock, who is dead is cleaned up after, by recorded facts only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_dpone.errors import ServiceFailed, UsageError
from pytest_dpone.services.lease import (
    OwnedProcess,
    Owner,
    base_directory,
    create,
    end_process,
    read_owner,
    reap,
    write_owner,
)
from pytest_dpone.services.life import boot_id, start_ticks


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def no_containers(ids: Sequence[str], run_id: str) -> None:
    raise AssertionError("no container was recorded")


def dead(base: Path, run_id: str, owner: Owner | None) -> Path:
    lease = create(run_id, base=base)
    (lease.path / "data").mkdir()
    (lease.path / "data" / "file").write_text("rows")
    if owner is not None:
        write_owner(lease.path, owner)
    os.close(lease.lock_fd)
    return lease.path


def owner_of(process: subprocess.Popen[bytes], *, start: int = 0, boot: str | None = None) -> Owner:
    ticks = start_ticks(process.pid)
    assert ticks is not None
    owned = OwnedProcess(process.pid, ticks + start)
    return Owner(run_id="dead", boot=boot_id() if boot is None else boot, processes=(owned,))


def test_a_dead_run_goes_and_a_live_one_stays(base: Path) -> None:
    live = create("live", base=base)
    gone = dead(base, "dead", Owner(run_id="dead", boot=boot_id()))
    assert reap(base, remove_containers=no_containers) == ["dead"]
    assert not gone.exists()
    assert live.path.exists()
    os.close(live.lock_fd)
    assert reap(base, remove_containers=no_containers) == ["live"]
    assert not live.path.exists()


def test_a_run_that_never_wrote_its_owner_goes_too(base: Path) -> None:
    path = dead(base, "newborn", None)
    broken = dead(base, "broken", None)
    (broken / "owner.json").write_text('{"run_id": ')
    assert reap(base, remove_containers=no_containers) == ["broken", "newborn"]
    assert not path.exists()
    assert not broken.exists()


def test_the_processes_of_the_dead_are_ended(base: Path, sleeper: subprocess.Popen[bytes]) -> None:
    dead(base, "dead", owner_of(sleeper))
    reap(base, remove_containers=no_containers)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_another_process_with_a_recorded_pid_lives_on(base: Path, sleeper: subprocess.Popen[bytes]) -> None:
    path = dead(base, "dead", owner_of(sleeper, start=1))
    reap(base, remove_containers=no_containers)
    assert sleeper.poll() is None
    assert not path.exists()


def test_pids_of_another_boot_mean_nothing(base: Path, sleeper: subprocess.Popen[bytes]) -> None:
    path = dead(base, "dead", owner_of(sleeper, boot="another"))
    reap(base, remove_containers=no_containers)
    assert sleeper.poll() is None
    assert not path.exists()


def test_a_process_that_ignores_sigterm_is_killed_with_its_group() -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.stdout.close()
    start = start_ticks(process.pid)
    assert start is not None
    end_process(OwnedProcess(process.pid, start), grace=0.1)
    assert process.wait(5) == -signal.SIGKILL
    for _ in range(200):
        if start_ticks(child) is None:
            break
        time.sleep(0.01)
    assert start_ticks(child) is None


def test_containers_are_removed_by_what_was_recorded(base: Path) -> None:
    path = dead(base, "dead", Owner(run_id="dead", boot="another", containers=("one", "two")))
    removed: list[tuple[tuple[str, ...], str]] = []
    reap(base, remove_containers=lambda ids, run_id: removed.append((tuple(ids), run_id)))
    assert removed == [(("one", "two"), "dead")]
    assert not path.exists()


def test_a_run_whose_containers_resist_stays_for_the_next_time(base: Path) -> None:
    path = dead(base, "dead", Owner(run_id="dead", boot=boot_id(), containers=("one",)))

    def refuse(ids: Sequence[str], run_id: str) -> None:
        raise OSError("no Docker Engine answers")

    assert reap(base, remove_containers=refuse) == []
    assert path.exists()
    assert reap(base, remove_containers=lambda ids, run_id: None) == ["dead"]


def test_owner_survives_the_way_through_its_file(base: Path) -> None:
    owner = Owner(
        run_id="r",
        boot="b",
        supervisor=OwnedProcess(1, 2),
        processes=(OwnedProcess(3, 4),),
        containers=("c",),
    )
    write_owner(base, owner)
    assert read_owner(base) == owner
    assert (base / "owner.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/b", "a b", ".hidden", "x" * 65, "a\n"])
def test_a_run_id_that_is_no_plain_name_is_refused(base: Path, run_id: str) -> None:
    with pytest.raises(UsageError, match="can't be a run id"):
        create(run_id, base=base)
    assert [path for path in base.rglob("*") if path.is_dir()] == [base / "runs"]


def test_a_taken_run_id_is_refused(base: Path) -> None:
    lease = create("same", base=base)
    with pytest.raises(UsageError, match="is there already") as caught:
        create("same", base=base)
    assert str(caught.value).endswith("hint: two runs at once need two run ids")
    assert lease.path == base / "runs" / "same"
    os.close(lease.lock_fd)


def test_the_base_is_ours_and_others_may_only_pass() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        temp = Path(name)
        temp.chmod(0o755)
        base = base_directory(temp)
        assert base == temp / f"pytest-dpone-{os.geteuid()}"
        assert {path.stat().st_mode & 0o777 for path in (base, base / "runs")} == {0o711}


def test_a_base_that_somebody_else_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_dpone.services.lease._usable", lambda path: True)
    bad = tmp_path / f"pytest-dpone-{os.geteuid()}"
    bad.mkdir()
    bad.chmod(0o777)
    with pytest.raises(ServiceFailed, match="is not a directory that only you can write"):
        base_directory(tmp_path)
    bad.rmdir()
    bad.symlink_to(tmp_path)
    with pytest.raises(ServiceFailed, match="is not a directory that only you can write"):
        base_directory(tmp_path)


def test_a_temporary_directory_that_is_too_deep_is_passed_over(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    assert deep not in base_directory(deep).parents
