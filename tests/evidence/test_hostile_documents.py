"""Documents that say anything at all: the verifier answers with findings, never with a traceback, and never green."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pytest_dpone.core.gates.documents import content_sha256
from pytest_dpone.core.strict import indented
from pytest_dpone.evidence.chain import Unverifiable

from .sabotage import Broken, copy_of

GARBAGE: tuple[object, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "../../x",
    "\u202e",
    [],
    [[]],
    {},
    {"x": []},
    [None],
    "é" * 300,
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value, the whole first."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in rows for place in places(item, (*path, key)))]


def set_at(data: dict, place: tuple[object, ...], value: object) -> None:  # type: ignore[type-arg]
    inside: object = data
    for key in place[:-1]:
        inside = inside[key]  # type: ignore[index]
    inside[place[-1]] = value  # type: ignore[index]


def documents(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.json") if "seal" not in path.parts)


@pytest.fixture(scope="module")
def open_tree(golden: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Broken:
    return copy_of(golden, tmp_path_factory.mktemp("hostile") / "tree")


@pytest.mark.parametrize("part", range(4))
def test_garbage_in_a_document_is_told(part: int, open_tree: Broken) -> None:
    rng = random.Random(part)
    for name in documents(open_tree.root):
        path = open_tree.path(name)
        original = path.read_bytes()
        if "indexes" in name or "entries" in name:
            continue
        for _ in range(3):
            data = json.loads(original)
            place = rng.choice(places(data)[1:])
            value = rng.choice(GARBAGE)
            set_at(data, place, value)
            raw = indented({**data, "content_sha256": content_sha256(data)})
            if json.loads(raw) == json.loads(original):
                continue
            path.write_bytes(raw)
            try:
                assert open_tree.again(), f"{name}: {place} = {value!r}"
            except Unverifiable as told:
                assert "certification_report" in told.fact
            path.write_bytes(original)
    assert open_tree.again() == ()
