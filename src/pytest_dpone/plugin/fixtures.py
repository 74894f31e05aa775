"""The fixtures for users' tests; every session fixture is a place to override."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

from .active import SIMULATED, case_param, session_or_skip
from .markers import excuse, known_to_fail

if TYPE_CHECKING:
    from ..core.model import Case, CaseRecord
    from ..core.wire import Engine, ServiceInfo
    from ..run.settings import RunSettings
    from ..services.handle import ServiceHandle
    from ..services.stack import Stack


class CertifyCase(Protocol):
    """The callable of `dpone_certify`."""

    def __call__(self, *, engine: Engine | None = None) -> CaseRecord:
        """Certify the test's case with `engine`, or with the run's; fails or skips the test if it does not pass."""
        ...


@pytest.fixture(scope="session")
def dpone_settings(request: pytest.FixtureRequest) -> RunSettings:
    """The settings of the run: rows, seed, ratios, profile. Skips in a run without dpone."""
    return session_or_skip(request.config).settings


@pytest.fixture(scope="session")
def dpone_engine(request: pytest.FixtureRequest) -> Engine:
    """The engine under test, as --dpone-engine names it. Override it in the conftest of rootdir to certify your own."""
    return session_or_skip(request.config).engine


@pytest.fixture(scope="session")
def dpone_stack(request: pytest.FixtureRequest) -> Stack:
    """The services of the run; nothing is started before somebody asks for a service. Skips in a simulated run."""
    return _stack(request)


@pytest.fixture(scope="session")
def dpone_postgres(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running Postgres: address, credentials, a psycopg connection, a schema of one's own. Skips if there is none."""
    yield from _handle(request, "postgres")


@pytest.fixture(scope="session")
def dpone_mssql(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running SQL Server: address, credentials, a connection, a schema of one's own. Skips if there is none."""
    yield from _handle(request, "mssql")


@pytest.fixture(scope="session")
def dpone_clickhouse(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running ClickHouse: address, credentials, a client, a database of one's own. Skips if none can be had."""
    yield from _handle(request, "clickhouse")


@pytest.fixture(scope="session")
def dpone_kafka(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running Kafka: address, credentials, clients, a prefix of topics of one's own. Skips if none can be had."""
    yield from _handle(request, "kafka")


@pytest.fixture(scope="session")
def dpone_minio(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running S3: address, credentials, a boto3 client, a bucket of one's own. Skips if none can be had."""
    yield from _handle(request, "minio")


@pytest.fixture(scope="session")
def dpone_schema_registry(request: pytest.FixtureRequest) -> Iterator[ServiceHandle]:
    """A running Schema Registry: address, credentials, a client, a start of subjects' names. Skips if there is none."""
    yield from _handle(request, "schema_registry")


@pytest.fixture
def dpone_case(request: pytest.FixtureRequest) -> Case:
    """A planned case; a test that asks for it runs once for each case that the options select."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def dpone_certify(request: pytest.FixtureRequest) -> CertifyCase:
    """`dpone_certify(engine=…)` certifies the test's `dpone_case` and records what it found."""
    session = session_or_skip(request.config)
    case: Any = case_param(request.node)
    if case is None:
        pytest.fail("dpone_certify needs a case: ask for the fixture dpone_case as well", pytrace=False)

    def certify(*, engine: Engine | None = None) -> CaseRecord:
        __tracebackhide__ = True
        from ..run.attempt import attempt
        from .collection import SuiteModule
        from .records import keep

        if session.activity.options.simulated:
            engine = session.engine  # no other engine can reach what is in memory
        if engine is None:
            engine = request.getfixturevalue("dpone_engine")
        if isinstance(request.node.parent, SuiteModule):
            session.suite_engine = engine
        session.saw(engine)
        with session.teller.playing(case.case_id) as on_step:
            record = session.over_budget(case, engine=str(getattr(engine, "name", ""))) or attempt(
                case,
                engine=engine,
                registry=session.plan.registry,
                services=session.services,
                settings=session.settings,
                on_step=on_step,
            )
        record = session.as_known(record)
        keep(request.node, record)
        judge(record)
        return record

    return certify


def _handle(request: pytest.FixtureRequest, name: str) -> Iterator[ServiceHandle]:
    from ..services.handle import ServiceHandle

    info = running_service(request, name)
    run_id = session_or_skip(request.config).run_id
    handle = ServiceHandle(info, name=f"dpone-own-{run_id}-{secrets.token_hex(4)}")
    try:
        yield handle
    finally:
        handle.close()


def running_service(request: pytest.FixtureRequest, name: str) -> ServiceInfo:
    """The service `name`, started if need be; skips if it can't be had, fails if it was asked for or does not start."""
    from ..core.model import NotRun
    from ..errors import ServiceUnavailable

    services = _stack(request)
    choice = services.choose([name])[name]
    if choice.provider is None and choice.asked:
        pytest.fail(choice.reason, pytrace=False)
    if choice.provider is None:
        raise excuse(NotRun.UNAVAILABLE, choice.reason)
    try:
        return services.ensure([name])[name]
    except ServiceUnavailable as error:
        raise excuse(NotRun.UNAVAILABLE, error.fact) from None


def _stack(request: pytest.FixtureRequest) -> Stack:
    session = session_or_skip(request.config)
    if session.activity.options.simulated:
        pytest.skip(SIMULATED)
    return cast("Stack", session.services())


def judge(record: CaseRecord) -> None:
    """Skip or fail the running test as the record says; returns for a record that passed."""
    __tracebackhide__ = True
    from ..core.model import NotRun, Verdict
    from ..report.escape import visible
    from ..report.terminal import failure_lines

    if record.verdict is Verdict.PASSED:
        if record.known is not None:
            pytest.fail(
                f"{visible(record.case_id)} passed, and is known to fail: {visible(str(record.known))}\n"
                "hint: remove its entry from the known failures",
                pytrace=False,
            )
        return
    if record.excused:
        raise known_to_fail(f"known failure: {visible(str(record.known))}: {visible(record.detail)}")
    if record.reason is NotRun.BUDGET:
        pytest.skip(f"{record.reason}: {visible(record.detail)}")
    if record.reason is not None and record.reason.tolerated:
        raise excuse(record.reason, visible(record.detail))
    pytest.fail("\n".join(line.text for line in failure_lines(record)), pytrace=False)
