"""What our own servers say of themselves when somebody else asks them."""

from __future__ import annotations

import pytest

from pytest_dpone.services.ask import Answer, stand_in


@pytest.mark.parametrize(
    ("headers", "fidelity", "emulated"),
    [
        ({}, "real", ""),
        ({"server": "MinIO"}, "real", ""),
        ({"x-dpone-stand-in": "engine; no users; no replication"}, "engine", "no users; no replication"),
        ({"x-dpone-stand-in": "emulated; all"}, "emulated", "all"),
        ({"x-dpone-stand-in": "real; nothing"}, "emulated", "nothing"),
        ({"x-dpone-stand-in": ""}, "emulated", "everything, since it does not say what"),
    ],
)
def test_a_header_tells_and_never_makes_it_more_real(headers: dict[str, str], fidelity: str, emulated: str) -> None:
    answer = Answer("x", "1", **stand_in(headers))
    assert (answer.fidelity, answer.emulated) == (fidelity, emulated)
