"""Each byte of each sealed file flipped, each file and entry deleted, doubled, cut, swapped: never green, and named."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from .sabotage import CHECKPOINT, LOG, SUMS, Broken, copy_of

PLACES, SAMPLE = 2000, 24
SEAL = ("connector-certification.dsse.json", "test-result.dsse.json", "verification-summary.dsse.json")
OWN = (SUMS, LOG, CHECKPOINT, *(f"seal/{name}" for name in SEAL))


@pytest.fixture(scope="module")
def tree(golden: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """A copy in which each test puts back what it has changed."""
    return copy_of(golden, tmp_path_factory.mktemp("bytes") / "tree")


def files(tree: Broken) -> list[str]:
    found = sorted(str(p.relative_to(tree.root)) for p in tree.root.rglob("*") if p.is_file() and p.name != ".lock")
    assert len(found) > 30
    return found


def names(tree: Broken, name: str) -> bool:
    """If a finding names the file; a change of the sums also by the line that is no longer true of a file."""
    return any(ruling.subject == name for ruling in tree.verify())


def flip(tree: Broken, name: str, place: int, mask: int) -> None:
    path = tree.path(name)
    original = path.read_bytes()
    path.write_bytes(original[:place] + bytes([original[place] ^ mask]) + original[place + 1 :])
    try:
        assert names(tree, name), (name, place, mask)
    finally:
        path.write_bytes(original)


@pytest.mark.nightly(f"flips {SAMPLE} of {PLACES} bytes")
def test_a_flipped_byte_is_seen(tree: Broken, nightly: bool) -> None:
    rng, count = random.Random(7), PLACES if nightly else SAMPLE
    found = files(tree)
    sizes = [tree.path(name).stat().st_size for name in found]
    # Half of the places by file, so that small ones count as much as large ones.
    chosen = [rng.choice(found) for _ in range(count // 2)] + rng.choices(found, weights=sizes, k=count - count // 2)
    for name in chosen:
        flip(tree, name, rng.randrange(tree.path(name).stat().st_size), 1 << rng.randrange(8))
    assert tree.verify() == ()


@pytest.mark.nightly(
    "flips three bytes of each file of a seal; the nightly run every byte of the small ones, every seventh of the others"
)
@pytest.mark.parametrize("name", OWN)
def test_a_flipped_byte_of_the_seal_is_seen(name: str, tree: Broken, nightly: bool) -> None:
    size = tree.path(name).stat().st_size
    places = range(0, size, 1 if size < 1000 else 7) if nightly else (0, size // 2, size - 1)
    for place in places:
        flip(tree, name, place, 1)
    assert tree.verify() == ()


@pytest.mark.nightly("takes every fourth file")
@pytest.mark.parametrize("how", ["deleted", "cut", "doubled", "emptied"])
def test_a_file_that_is_not_as_it_was_is_seen(how: str, tree: Broken, nightly: bool) -> None:
    every = files(tree)
    for name in every if nightly else every[::4]:
        path = tree.path(name)
        original = path.read_bytes()
        if how == "deleted":
            path.unlink()
        else:
            path.write_bytes({"cut": original[:-1], "doubled": original * 2, "emptied": b""}[how])
        assert names(tree, name), (how, name)
        path.write_bytes(original)
    assert tree.verify() == ()


@pytest.mark.nightly("swaps every sixth pair")
def test_files_that_are_swapped_are_seen(tree: Broken, nightly: bool) -> None:
    pairs = list(pairwise(files(tree)))
    for one, other in pairs if nightly else pairs[::6]:
        first, second = tree.path(one).read_bytes(), tree.path(other).read_bytes()
        if first == second:
            continue
        tree.path(one).write_bytes(second)
        tree.path(other).write_bytes(first)
        subjects = {ruling.subject for ruling in tree.verify()}
        assert {one, other} <= subjects, (one, other)
        tree.path(one).write_bytes(first)
        tree.path(other).write_bytes(second)
    assert tree.verify() == ()


def test_a_file_that_is_added_anywhere_is_seen(tree: Broken) -> None:
    folders = {"", *(str(p.relative_to(tree.root)) for p in tree.root.rglob("*") if p.is_dir())}
    assert len(folders) > 8
    for folder in sorted(folders):
        name = f"{folder}/new.json" if folder else "new.json"
        tree.path(name).write_text("{}")
        assert names(tree, name), name
        tree.path(name).unlink()
    assert tree.verify() == ()


def test_every_change_of_the_log_is_seen(tree: Broken) -> None:
    path = tree.path(LOG)
    original = path.read_bytes()
    rows = original.splitlines(keepends=True)
    assert len(rows) == 2
    changes = [
        rows[:1],
        rows[1:],
        [],
        rows[::-1],
        [*rows, rows[0]],
        [rows[0], *rows],
        [rows[0], rows[0]],
        [*rows, b"\n"],
    ]
    for change in changes:
        path.write_bytes(b"".join(change))
        assert names(tree, LOG), change
    path.write_bytes(original)
    assert tree.verify() == ()
