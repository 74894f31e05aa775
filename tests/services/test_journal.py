"""What a run made elsewhere is known by name, also after the run was killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_dpone.services import lease
from pytest_dpone.services.journal import Made, forget, left, note, runs_with_remains

ONE = Made("postgres", "dpone_r1_src")
TWO = Made("minio", "dpone_r1_dst", "dpone-r1")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path


def test_what_was_made_and_not_removed_is_left(base: Path) -> None:
    assert left("r1", base=base) == []
    note("r1", ONE, base=base)
    note("r1", TWO, base=base)
    note("r2", ONE, base=base)
    assert left("r1", base=base) == [ONE, TWO]
    assert runs_with_remains(base=base) == ["r1", "r2"]
    forget("r1", ONE, base=base)
    assert left("r1", base=base) == [TWO]
    forget("r1", TWO, base=base)
    assert left("r1", base=base) == []
    assert runs_with_remains(base=base) == ["r2"]
    assert [path.name for path in (base / "left").iterdir()] == ["r2.jsonl"]


def test_a_half_line_hides_nothing(base: Path) -> None:
    note("r1", ONE, base=base)
    with (base / "left" / "r1.jsonl").open("a") as file:
        file.write('["a"]\n{"service": "postgres"}\n{"serv')
    assert left("r1", base=base) == [ONE]


def test_the_record_is_for_its_owner_and_follows_no_link(base: Path, tmp_path: Path) -> None:
    note("r1", ONE, base=base)
    assert (base / "left" / "r1.jsonl").stat().st_mode & 0o777 == 0o600
    target = tmp_path / "target"
    target.touch()
    (base / "left" / "r3.jsonl").symlink_to(target)
    with pytest.raises(OSError):
        note("r3", ONE, base=base)
    assert target.read_text() == ""


def test_a_run_is_alive_while_its_lock_is_held(base: Path) -> None:
    import os

    (base / "runs").mkdir()
    assert not lease.is_alive("r1", base=base)
    held = lease.create("r1", base=base)
    assert lease.is_alive("r1", base=base)
    os.close(held.lock_fd)
    assert not lease.is_alive("r1", base=base)


def test_a_record_is_never_removed_under_a_line_that_is_being_added(base: Path) -> None:
    def many(made: Made) -> int:
        lost = 0
        for _ in range(300):
            note("r1", made, base=base)
            lost += made not in left("r1", base=base)
            forget("r1", made, base=base)
        return lost

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(many, [Made("postgres", f"n{number}") for number in range(4)])) == [0] * 4
    assert left("r1", base=base) == []
