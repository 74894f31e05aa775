"""Atomic files, strict JSON."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dpone.errors import ArtifactError
from pytest_dpone.evidence.artifacts import check_writable, hold, read_json, remove_stale, write_json, write_text


def test_json_is_read_back(tmp_path: Path) -> None:
    data = {"schema": "x/v1", "text": "Привет 🙂 \x1b", "list": [1, 2.5, None, True]}
    path = tmp_path / "deep" / "er" / "x.json"
    write_json(path, data)
    assert read_json(path) == data
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_number_is_not_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"n": number})
    assert list(tmp_path.iterdir()) == []


def test_a_lone_surrogate_is_spelled_out(tmp_path: Path) -> None:
    write_text(tmp_path / "x.md", "a\ud800b")
    assert (tmp_path / "x.md").read_text() == "a\\ud800b"


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(ArtifactError) as caught:
        write_json(path, {"new": 1})
    assert str(caught.value) == (
        f"{path} can't be written: No space left on device\nhint: free some space on that disk and run again"
    )
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (lambda p: write_text(p / "x", ""), check_writable):
        with pytest.raises(ArtifactError) as caught:
            attempt(tmp_path / "file" / "below")
        assert "Not a directory\nhint: choose a folder that you may write with --dpone-artifact-dir" in str(
            caught.value
        )


def test_trying_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ("{", "is not strict JSON"),
        ("[" * 100_000, "is not strict JSON"),
        ("[]", "holds no JSON object"),
        ("\xff", "is not strict JSON"),
    ],
)
def test_json_that_is_not_strict_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=told):
        read_json(path)


def test_stale_files_are_ours_only(tmp_path: Path) -> None:
    for name, text in {
        "a.json": '{"schema": "ours/v1"}',
        "a.md": "twin",
        "b.json": '{"schema": "theirs/v1"}',
        "b.md": "theirs",
        "c.json": "broken",
        "d.json": '{"schema": "ours/v1", "schema": "ours/v1"}',
        "e.md": "alone",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.json").write_text('{"schema": "ours/v1"}')
    assert remove_stale(tmp_path, schemas=("ours/v1",)) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"b.json", "b.md", "c.json", "d.json", "e.md", "below"}
    assert (tmp_path / "below" / "a.json").exists()


def test_a_folder_is_held_by_one_living_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom pytest_dpone.evidence.artifacts import hold\n"
        "print(hold(pathlib.Path(sys.argv[1])) is not None, flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert hold(tmp_path) is None
        other.kill()
        other.wait()
        handle = hold(tmp_path)
        assert handle is not None
        os.close(handle)
