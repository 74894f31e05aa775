"""The source bound by its bytes: what git is told to overlook is seen, and what can't be bound is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_dpone
from pytest_dpone.core.gates.source import TreeState
from pytest_dpone.evidence.binding import take
from pytest_dpone.evidence.code import Place, code_state, place_of
from pytest_dpone.run.origin import find_origin

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
ALLOW = ("-c", "protocol.file.allow=always")


def git(folder: Path, *words: str | bytes) -> str:
    done = subprocess.run([*GIT, *ALLOW, "-C", str(folder), *words], check=True, capture_output=True)
    return done.stdout.decode(errors="replace")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    git(tmp_path, "init", "-q", str(root))
    (root / "code.py").write_text("x = 1\n")
    (root / "data.csv").write_text("1,2\n")
    (root / ".gitignore").write_text("ignored*\n.venv\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    return root


def look(root: Path, **more: object) -> TreeState:
    return take(root, **more).tree  # type: ignore[arg-type]


def test_a_clean_tree(tree: Path) -> None:
    found = look(tree)
    assert (found.repository, found.commit) == ("git", git(tree, "rev-parse", "HEAD").strip())
    assert (found.tracked.files, found.untracked.files, found.ignored.files, found.differing) == (3, 0, 0, 0)
    assert found.problems == ()
    assert found.tracked.bytes == sum(path.stat().st_size for path in tree.iterdir() if path.is_file())
    assert look(tree) == found
    assert look(tree, leave_out=[tree]) == found, "what is committed is never left out"


def test_the_same_commit_has_the_same_digest_elsewhere(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(tree), str(tmp_path / "clone"))
    assert look(tmp_path / "clone") == look(tree)
    (tree / "sub").mkdir()
    assert look(tree / "sub").tracked == look(tree).tracked, "the whole repository counts, wherever rootdir is"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_what_git_is_told_to_overlook_is_seen(tree: Path, flag: str) -> None:
    before = look(tree)
    git(tree, "update-index", flag, "code.py")
    (tree / "code.py").write_text("x = 2\n")
    assert find_origin(tree).dirty is False, "git status is fooled"
    after = look(tree)
    assert after.tracked.digest != before.tracked.digest
    assert (after.differing, after.differs) == (1, ("code.py",))


def test_a_change_that_keeps_size_and_time_is_seen(tree: Path) -> None:
    path = tree / "code.py"
    state = path.stat()
    before = look(tree)
    path.write_text("x = 9\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert look(tree).tracked.digest != before.tracked.digest


def test_a_replaced_commit_and_a_hooks_variables_lead_nowhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = git(tree, "rev-parse", "HEAD").strip()
    (tree / "code.py").write_text("x = 2\n")
    git(tree, "commit", "-q", "-a", "-m", "two")
    second = git(tree, "rev-parse", "HEAD").strip()
    git(tree, "checkout", "-q", first)
    git(tree, "replace", first, second)
    (tree / "code.py").write_text("x = 2\n")
    assert look(tree).differs == ("code.py",)
    monkeypatch.setenv("GIT_DIR", str(tree / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tree / "nowhere"))
    assert look(tree).commit == first


def test_files_of_no_commit(tree: Path) -> None:
    (tree / "new.py").write_text("")
    (tree / "notes.txt").write_text("")
    (tree / "ignored.py").write_text("")
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "conftest.py").write_text("")
    (tree / "deep" / "er" / "pytest.ini").write_text("")
    (tree / "deep" / "er" / "native.so").write_text("")
    found = look(tree)
    assert found.untracked.names == ("deep/er/conftest.py", "deep/er/native.so", "deep/er/pytest.ini", "new.py")
    assert found.ignored.names == ("ignored.py",)
    (tree / "ignored.py").write_text("x = 1")
    again = look(tree)
    assert (again.untracked, again.ignored.files) == (found.untracked, 1)
    assert again.ignored.digest != found.ignored.digest
    (tree / "notes.txt").write_text("more")
    assert look(tree) == again


def test_environments_caches_and_artifacts_are_no_part(tree: Path) -> None:
    before = look(tree)
    for folder in (".venv/lib", "env/lib", "deep/__pycache__", "ours/deep"):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "x.py").write_text("")
    for folder in (".venv", "env"):
        (tree / folder / "pyvenv.cfg").write_text("")
    assert look(tree, leave_out=[tree / "ours"]) == before
    assert look(tree).untracked.names == ("ours/deep/x.py",)


def test_staged_removed_and_deleted_files(tree: Path) -> None:
    (tree / "staged.py").write_text("")
    git(tree, "add", "staged.py")
    git(tree, "rm", "-q", "--cached", "code.py")
    (tree / "data.csv").unlink()
    found = look(tree)
    assert found.differs == ("data.csv (not there)", "staged.py (not committed)")
    assert (found.tracked.files, found.untracked.files) == (4, 0)
    (tree / "code.py").write_text("x = 2\n")
    assert "code.py" in look(tree).differs, "out of the index, and still the commit's"


def test_links_are_bound_by_where_they_point(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1")
    (tree / "link.py").symlink_to(outside)
    (tree / "folder").symlink_to(tmp_path)
    (tree / "nowhere").symlink_to("none")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "links")
    before = look(tree)
    assert (before.differing, before.tracked.files, before.problems) == (0, 6, ())
    outside.write_text("x = 2")
    assert look(tree).tracked.digest != before.tracked.digest, "Python imports what the link leads to"
    outside.write_text("x = 1")
    assert look(tree) == before
    (tree / "nowhere").unlink()
    (tree / "nowhere").symlink_to("elsewhere")
    assert look(tree).differs == ("nowhere",)
    (tree / "nowhere").unlink()
    (tree / "nowhere").write_text("none")
    assert look(tree).differs == ("nowhere (a link, or none any more)",)


def test_names_that_are_no_text(tree: Path) -> None:
    name = os.path.join(os.fsencode(tree), b'caf\xe9 \n".py')
    Path(os.fsdecode(name)).write_text("x = 1")
    assert look(tree).untracked.names == ('caf\\xe9 \n".py',)
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "name")
    before = look(tree)
    assert (before.differing, before.tracked.files) == (0, 4)
    Path(os.fsdecode(name)).write_text("x = 2")
    assert look(tree).differs == ('caf\\xe9 \n".py',)


def test_submodules(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    (other / "inner.py").write_text("x = 1\n")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "inner")
    git(tree, "submodule", "--quiet", "add", str(other), "lib/inner")
    git(tree, "commit", "-q", "-m", "submodule")
    before = look(tree)
    assert (before.tracked.files, before.differing, before.untracked.files) == (5, 0, 0)
    (tree / "lib/inner/new.py").write_text("")
    assert look(tree).untracked.names == ("lib/inner/new.py",)
    (tree / "lib/inner/new.py").unlink()
    git(tree / "lib/inner", "update-index", "--assume-unchanged", "inner.py")
    (tree / "lib/inner/inner.py").write_text("x = 2\n")
    assert look(tree).differs == ("lib/inner/inner.py",)
    git(tree / "lib/inner", "update-index", "--no-assume-unchanged", "inner.py")
    git(tree / "lib/inner", "commit", "-q", "-a", "-m", "on")
    assert look(tree).differs == ("lib/inner (a submodule at another commit)",)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tree), str(clone))
    assert look(clone).tracked.files == 4, "not checked out: nothing of it can run"


def test_what_git_converts_is_no_difference(tree: Path) -> None:
    (tree / ".gitattributes").write_text("*.txt text eol=crlf\n")
    (tree / "lines.txt").write_bytes(b"a\r\nb\r\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n"
    (tree / "large.bin").write_text(pointer.format("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "converted")
    assert look(tree).differing == 0
    (tree / "large.bin").write_bytes(b"abc")
    assert look(tree).differing == 0
    (tree / "large.bin").write_bytes(b"abd")
    (tree / "lines.txt").write_bytes(b"a\r\nc\r\n")
    assert look(tree).differs == ("large.bin", "lines.txt")


def test_without_a_repository(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1")
    (tmp_path / "notes.txt").write_text("")
    found = look(tmp_path)
    assert (found.repository, found.commit, found.tracked.files, found.problems) == ("none", None, 1, ())
    (tmp_path / "code.py").write_text("x = 2")
    assert look(tmp_path).tracked.digest != found.tracked.digest


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    found = look(tmp_path)
    assert (found.commit, found.differs) == (None, ("code.py (not committed)",))


def test_git_that_does_not_answer_is_a_problem(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / ".git" / "HEAD").write_text("rubbish")
    (problem,) = look(tree).problems
    assert problem.startswith("there is a repository, and git rev-parse says: fatal: ")
    monkeypatch.setenv("PATH", "")
    found = look(tree)
    told = "there is a repository, and git can't be run: No such file or directory"
    assert (found.repository, found.tracked.digest, found.problems) == ("unknown", None, (told,))


def test_what_can_not_be_read_is_a_problem(tree: Path, tmp_path: Path) -> None:
    (tree / "data.csv").unlink()
    os.mkfifo(tree / "data.csv")
    found = look(tree)
    assert (found.tracked.digest, found.problems) == (None, ("data.csv is no regular file",))
    (tree / "data.csv").unlink()
    (tree / "data.csv").mkdir()
    assert look(tree).problems == ("data.csv can't be read: Is a directory",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_a_problem(tree: Path) -> None:
    (tree / "code.py").chmod(0)
    assert look(tree).problems == ("code.py can't be read: Permission denied",)


def test_an_error_of_the_disk_is_a_problem(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def broken(path: object, *arguments: object, **more: object) -> int:
        if isinstance(path, bytes) and path.endswith(b"code.py"):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", broken)
    found = look(tree)
    assert (found.tracked.digest, found.problems) == (None, ("code.py can't be read: Permission denied",))


def test_a_tree_that_takes_too_long_is_not_bound(tree: Path) -> None:
    state = take(tree, seconds=0)
    assert state.tree.tracked.digest is None
    assert state.tree.problems[0] == "the time is up after 0 files and 0 MiB"
    assert state.plugin.files.digest is None


def test_the_plugin_and_an_engine_are_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_dpone.engines.native import NativeEngine

    package = tmp_path / "mover" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("class Mover: ...\n")
    (package.parent / "rules.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    from mover.inner import Mover  # type: ignore[import-not-found]

    place = place_of(Mover)
    assert place == Place("mover.inner.Mover", str(tmp_path / "mover"), "mover")
    for name in [name for name in sys.modules if name.startswith("mover")]:
        monkeypatch.delitem(sys.modules, name)
    before = take(tmp_path, engines=[place, place_of(NativeEngine)])
    ours, theirs = sorted(before.engines, key=lambda engine: engine.name, reverse=True)
    assert ours.files == before.plugin.files
    assert before.plugin.files.files == sum(
        path.is_file() and "__pycache__" not in path.parts for path in Path(pytest_dpone.__file__).parent.rglob("*")
    )
    assert theirs.files.files == 3
    (package.parent / "rules.json").write_text("[]")
    after = take(tmp_path, engines=[place])
    assert after.engines[0].files.digest != theirs.files.digest
    assert after.plugin == before.plugin


def test_an_engine_that_comes_from_no_file_is_a_problem() -> None:
    place = place_of(type("Made", (), {"__module__": "nowhere"}))
    (engine,) = take(Path.cwd(), engines=[place], seconds=0).engines
    assert engine.problems == ("nowhere.Made comes from no file",)


def test_a_package_that_was_edited_after_its_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mover"
    folder.mkdir()
    (folder / "__init__.py").write_text("x = 1\n")
    (folder / "more.py").write_text("")
    about = tmp_path / "mover-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mover\nVersion: 1.2\n")
    (about / "RECORD").write_text(
        "mover/__init__.py,sha256=_W_xr9uO4HgiRtiMgi4H-vBwIDMDZMrzZ1S9tYEr_5M,6\n"
        "mover/more.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\nmover-1.2.dist-info/RECORD,,\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = code_state("mover", folder)
    assert (found.distribution, found.version, found.edited) == ("mover", "1.2", ("__init__.py",))
    (about / "RECORD").write_text(
        (about / "RECORD").read_text().replace("_W_xr9uO4HgiRtiMgi4H-vBwIDMDZMrzZ1S9tYEr_5M", _digest(folder))
    )
    assert code_state("mover", folder).edited == ()
    (folder / "extra.py").write_text("")
    assert code_state("mover", folder).edited == ("extra.py",)
    (folder / "extra.py").unlink()
    (folder / "more.py").unlink()
    assert code_state("mover", folder).edited == ("more.py",)


def _digest(folder: Path) -> str:
    import base64
    import hashlib

    raw = hashlib.sha256((folder / "__init__.py").read_bytes()).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
