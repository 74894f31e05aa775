"""What the harness sees of a topic, look by look, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from pytest_dpone.services.catalog import Fingerprint
from pytest_dpone.services.catalog.kafka import KafkaCatalog

EMPTY, BEGUN = ({0: 0, 1: 0}, {0: 0, 1: 0}), ({0: 0, 1: 0}, {0: 3, 1: 2})


class Looks:
    """A topic that has other ends at each look: (stable, all). Whoever waits for a commit fails."""

    open_in = ""
    avro = False

    def __init__(self, *ends: tuple[dict[int, int], dict[int, int]]) -> None:
        self._ends = iter(ends)

    def exists(self, topic: str) -> bool:
        return True

    def ends(self, topic: str) -> tuple[dict[int, int], dict[int, int]]:
        return next(self._ends)

    def settled(self, topic: str) -> dict[int, int]:
        raise AssertionError("a look at a first load that is under way must not wait for its end")


@pytest.mark.parametrize(
    ("looks", "seen"),
    [((EMPTY, BEGUN), Fingerprint(0, 0)), ((BEGUN, BEGUN), None)],
)
def test_a_first_load_that_begins_between_two_looks_is_not_waited_for(looks: Any, seen: Fingerprint | None) -> None:
    catalog = KafkaCatalog(SecretStr("kafka://127.0.0.1:1"))
    catalog._topics = Looks(*looks)  # type: ignore[assignment]
    assert catalog.fingerprint("space", "t", "id") == seen
