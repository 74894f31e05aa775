"""Where the code under test comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_dpone.run.origin import Origin, find_origin

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "code.py").write_text("x = 1\n")
    subprocess.run([*GIT, "-C", str(tmp_path), "add", "."], check=True)
    subprocess.run([*GIT, "-C", str(tmp_path), "commit", "-q", "-m", "one"], check=True)
    return tmp_path


def test_a_clean_tree(tree: Path) -> None:
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert find_origin(tree) == Origin(commit=head.stdout.strip(), dirty=False)


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_a_changed_tree(tree: Path, name: str) -> None:
    (tree / name).write_text("x = 2\n")
    assert find_origin(tree).dirty is True


def test_our_own_artifacts_do_not_make_a_tree_dirty(tree: Path) -> None:
    ours = tree / "out [1]" / "deep"
    ours.mkdir(parents=True)
    (ours / "report.json").write_text("{}")
    assert find_origin(tree).dirty is True
    assert find_origin(tree, ignore=ours).dirty is False
    assert find_origin(tree, ignore=Path("/elsewhere")).dirty is True
    (tree / "new.py").touch()
    assert find_origin(tree, ignore=ours).dirty is True


def test_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_origin(tmp_path) == Origin()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert find_origin(tmp_path) == Origin(), "there is no commit yet"
    monkeypatch.setenv("PATH", "")
    assert find_origin(tmp_path) == Origin()
