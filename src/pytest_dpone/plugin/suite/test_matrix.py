"""The matrix: one test per planned case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dpone.core.model import Case
    from pytest_dpone.plugin.fixtures import CertifyCase


@pytest.mark.integration_matrix
def test_case(dpone_case: Case, dpone_certify: CertifyCase) -> None:  # noqa: ARG001 - parametrises the test
    """Real rows were moved, and the oracle agrees."""
    dpone_certify()
