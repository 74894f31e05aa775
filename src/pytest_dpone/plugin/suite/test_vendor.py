"""The probes of a vendor's systems: who may come in, how the line is kept, and what happens under a quota."""

from __future__ import annotations

import secrets

import pytest

from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import ServiceFailed
from pytest_dpone.plugin.active import active_session
from pytest_dpone.plugin.fixtures import running_service
from pytest_dpone.services.ask import ask
from pytest_dpone.services.patience import patiently
from pytest_dpone.services.vendor import is_encrypted, with_password

BURST = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each probe once per service of the planned cases."""
    session = active_session(metafunc.config)
    metafunc.parametrize("service", session.plan.services if session is not None else ())


@pytest.fixture
def info(request: pytest.FixtureRequest, service: str) -> ServiceInfo:
    """The service behind its address."""
    return running_service(request, service)


@pytest.mark.integration_live
def test_wrong_password_is_refused(service: str, info: ServiceInfo) -> None:
    """Whoever does not know the password is not let in."""
    wrong = with_password(info.url.get_secret_value(), secrets.token_hex(12))
    with pytest.raises(ServiceFailed):
        patiently(lambda: ask(service, wrong, timeout=10))


@pytest.mark.integration_live
def test_line_is_encrypted(service: str, info: ServiceInfo) -> None:
    """TLS is on."""
    if not is_encrypted(service, info.url.get_secret_value()):
        pytest.fail(f"the connection to {service} is not encrypted", pytrace=False)


@pytest.mark.integration_live
def test_burst_is_answered(service: str, info: ServiceInfo) -> None:
    """Many questions in a row are all answered, if need be after a pause that the server asked for."""
    answers = [patiently(lambda: ask(service, info.url.get_secret_value(), timeout=10)) for _ in range(BURST)]
    assert len({answer.version for answer in answers}) == 1
