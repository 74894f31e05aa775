"""Which provider is chosen is decided from facts, before anything starts, and a refusal names the ways out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pytest_dpone.errors import UsageError
from pytest_dpone.services.choice import DockerLook, KafkaLook, Surroundings, choose, needs_docker
from pytest_dpone.services.table import SERVICES, Image, Service, docker_may_answer, fill, missing_modules

ENGINE = DockerLook(engine="28.0", error="", images={"postgres": "", "clickhouse": "", "minio": ""})


def around(
    providers: Mapping[str, str] | None = None,
    *,
    external: frozenset[str] = frozenset(),
    docker: DockerLook | None = None,
    binaries: bool = True,
    missing: tuple[str, ...] = (),
) -> Surroundings:
    return Surroundings(
        providers or {},
        external,
        lambda: docker or DockerLook(),
        lambda: binaries,
        lambda names: [name for name in names if name in missing],
    )


def never() -> DockerLook:
    raise AssertionError("the engine must not be asked")


def test_auto_takes_an_address_first_and_asks_no_engine() -> None:
    facts = Surroundings({}, frozenset(["postgres"]), never, lambda: True, lambda names: [])
    assert choose("postgres", facts).provider == "external"
    assert not needs_docker("postgres", {}, frozenset(["postgres"]))


def test_auto_takes_docker_before_embedded() -> None:
    assert choose("clickhouse", around(docker=ENGINE)).provider == "docker"
    assert needs_docker("clickhouse", {}, frozenset())


@pytest.mark.parametrize(
    ("docker", "reason"),
    [
        (DockerLook(error="no Docker Engine answers: refused"), "no Docker Engine answers: refused"),
        (DockerLook(engine="28.0", images={"minio": "the image x can't be pulled"}), "the image x can't be pulled"),
    ],
)
def test_auto_falls_to_embedded_and_says_why(docker: DockerLook, reason: str) -> None:
    choice = choose("minio", around(docker=docker))
    assert choice.provider == "embedded"
    assert choice.reason == f"no address is set; docker: {reason}"


def test_auto_without_any_way_names_all_of_them() -> None:
    choice = choose("clickhouse", around(missing=("chdb",)))
    assert choice.provider is None
    assert choice.reason == (
        "clickhouse: no provider can serve it. external: set DPONE_CLICKHOUSE_URL; docker: no Docker Engine answers; "
        "embedded: the module chdb not installed; pip install 'pytest-dpone[embedded]'"
    )


def test_what_is_asked_for_by_name_is_never_replaced() -> None:
    for provider in ("docker", "external", "compose"):
        choice = choose("postgres", around({"postgres": provider}))
        assert choice.provider is None
        assert f"asked for by name: {provider}" in choice.reason
    assert choose("postgres", around({"postgres": "embedded"}, docker=ENGINE)).provider == "embedded"
    assert choose("postgres", around({"postgres": "docker"}, docker=ENGINE)).provider == "docker"


def test_compose_serves_what_its_file_has() -> None:
    composed = {"postgres": "", "minio": "the image x is not here"}
    look = DockerLook(engine="28.0", error="", compose_error="", composed=composed)

    def reason(name: str, docker: DockerLook | None = look, missing: tuple[str, ...] = ()) -> str | None:
        assert needs_docker(name, {name: "compose"}, frozenset([name]))
        choice = choose(name, around({name: "compose"}, docker=docker, missing=missing))
        return None if choice.provider == "compose" else choice.reason

    assert reason("postgres") is None
    assert reason("minio") == "minio: the image x is not here (asked for by name: compose)"
    assert "the compose file has no service clickhouse" in str(reason("clickhouse"))
    assert "no Docker Engine answers" in str(reason("postgres", None))
    assert "Docker Compose was not looked for" in str(reason("postgres", ENGINE))
    assert "pip install 'pytest-dpone[docker]'" in str(reason("postgres", missing=("pytest_docker",)))
    assert choose("postgres", around(docker=look)).provider == "embedded"  # never by itself


def test_embedded_postgres_needs_binaries() -> None:
    choice = choose("postgres", around({"postgres": "embedded"}, binaries=False))
    assert choice.provider is None
    assert "DPONE_POSTGRES_BIN" in choice.reason


def test_embedded_kafka_needs_our_broker_or_the_real_one() -> None:
    bare = around({"kafka": "embedded"}, missing=("kio",))
    choice = choose("kafka", bare)
    assert choice.provider is None
    assert "the module kio not installed; pip install 'pytest-dpone[embedded]'" in choice.reason
    assert choose("kafka", replace(bare, kafka=lambda: KafkaLook(version="4.1.1"))).provider == "embedded"


def test_a_kafka_that_is_named_and_cannot_run_is_never_replaced_by_our_broker() -> None:
    def named() -> KafkaLook:
        return KafkaLook(error="KAFKA_HOME is a relative path; give the whole path")

    for providers in ({}, {"kafka": "embedded"}):
        choice = choose("kafka", replace(around(providers), kafka=named))
        assert (choice.provider, choice.asked) == (None, True)
        assert "KAFKA_HOME is a relative path; give the whole path" in choice.reason
    docker = replace(ENGINE, images={"kafka": ""})
    assert choose("kafka", replace(around(docker=docker), kafka=named)).provider == "docker"  # the real one, too
    assert not choose("kafka", around(missing=("kio",))).asked


def test_docker_needs_its_library() -> None:
    choice = choose("postgres", around({"postgres": "docker"}, docker=ENGINE, missing=("testcontainers",)))
    assert choice.provider is None
    assert "pip install 'pytest-dpone[docker]'" in choice.reason


def test_every_provider_of_postgres_needs_the_client() -> None:
    for provider in ("auto", "docker", "embedded", "external"):
        facts = around({"postgres": provider}, docker=ENGINE, external=frozenset(["postgres"]), missing=("psycopg",))
        choice = choose("postgres", facts)
        assert choice.provider is None
        assert choice.reason == "postgres: the module psycopg not installed; pip install 'pytest-dpone[postgres]'"


def test_sql_server_has_two_ways() -> None:
    engine = DockerLook(engine="28.0", error="", images={"mssql": ""}, memory=2_000_000_000)
    assert choose("mssql", around(docker=engine)).provider == "docker"
    assert choose("mssql", around(external=frozenset(["mssql"]))).provider == "external"
    for choice in (choose("mssql", around()), choose("mssql", around(missing=("pymssql",)))):
        assert choice.provider is None
        assert "a Docker Engine that has or can pull its image, or an address in DPONE_MSSQL_URL" in choice.reason
    asked = choose("mssql", around({"mssql": "embedded"}, docker=engine))
    assert asked.provider is None
    assert "Docker Engine" in asked.reason


def test_sql_server_needs_memory() -> None:
    small = DockerLook(engine="28.0", error="", images={"mssql": "", "minio": ""}, memory=1_990_000_000)
    choice = choose("mssql", around(docker=small))
    assert choice.provider is None
    assert "docker: it needs 2000 MB of memory, and Docker has 1990 MB" in choice.reason
    assert choose("minio", around(docker=small)).provider == "docker"
    unknown = DockerLook(engine="28.0", error="", images={"mssql": ""})
    assert choose("mssql", around(docker=unknown)).provider == "docker"


def test_a_service_without_a_provider_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "kafka"
    monkeypatch.setattr("pytest_dpone.services.choice.SERVICES", {**SERVICES, name: Service(name)})
    choice = choose(name, around(docker=ENGINE))
    assert choice.provider is None
    assert "not implemented yet" in choice.reason
    assert not needs_docker(name, {}, frozenset())


def test_a_container_that_needs_another_one_is_had_only_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image("broker:1", 9092, {})
    broker = Service("kafka", scheme="kafka", image=image, variables=("DPONE_KAFKA_URL",))
    monkeypatch.setattr("pytest_dpone.services.choice.SERVICES", {**SERVICES, "kafka": broker})
    both = DockerLook(engine="28.0", error="", images={"kafka": "", "schema_registry": ""})
    assert choose("schema_registry", around(docker=both)).provider == "docker"
    assert choose("schema_registry", around({"schema_registry": "docker"}, docker=both)).provider == "docker"
    choice = choose("schema_registry", around(docker=both, external=frozenset(["kafka"])))
    assert choice.provider == "embedded"
    assert choice.reason.endswith("its container needs the container of kafka: it is had by external")
    choice = choose("schema_registry", around({"schema_registry": "docker"}, docker=DockerLook(engine="28.0")))
    assert choice.provider is None
    assert "its container needs the container of kafka: kafka: no provider can serve it." in choice.reason


def test_unknown_names_get_a_near_miss() -> None:
    with pytest.raises(UsageError) as service:
        choose("clickhuse", around())
    assert service.value.hint.startswith("did you mean clickhouse? services are postgres, ")
    with pytest.raises(UsageError) as provider:
        choose("postgres", around({"postgres": "dokcer"}))
    assert provider.value.hint == "did you mean docker? providers are auto, docker, embedded, external, compose"


def test_the_table_agrees_with_itself() -> None:
    for service in SERVICES.values():
        if not service.implemented:
            continue
        assert service.embedded.startswith("pytest_dpone.services.embedded.") or service.name == "mssql"
        if service.name == "api":  # nobody else can serve it
            assert service.no_image == "it is a server of ours, and embedded only"
            assert not service.variables
            continue
        assert service.variables == (f"DPONE_{service.name.upper()}_URL",)
        assert service.image is not None
        reference, _, tag = service.image.reference.rpartition(":")
        assert reference
        assert tag not in ("", "latest")
        values = {"user": "<U>", "password": "<P>", "database": "D", "port": "<1>"}
        filled = [fill(value, values) for value in service.image.environment.values()]
        assert any("<P>" in value for value in filled)
        assert any("<U>" in value for value in filled) or service.name == "mssql"  # whose user is always sa
        assert any("<1>" in value for value in filled) is service.image.advertised
        assert not any("{" in value for value in filled)
        assert not any("{password}" in part for part in service.image.command)


def test_look_for_an_engine_without_asking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.exists", lambda path: path == "/run/me/docker.sock")
    assert docker_may_answer({"DOCKER_HOST": "tcp://127.0.0.1:2375"})
    assert docker_may_answer({"XDG_RUNTIME_DIR": "/run/me"})
    assert not docker_may_answer({"HOME": "/run/me"})


def test_modules_that_are_not_installed() -> None:
    assert missing_modules(("json", "no_such_module_here", "no_such.module")) == [
        "no_such_module_here",
        "no_such.module",
    ]
