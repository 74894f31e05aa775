"""Settings go over a pipe as JSON, and secrets are seen by nobody else."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from pytest_dpone.core.secrets import Scrubber
from pytest_dpone.errors import ServiceFailed, UsageError
from pytest_dpone.services.addresses import external_from_environ
from pytest_dpone.services.life import children_environ
from pytest_dpone.services.project import PACKAGED
from pytest_dpone.services.stack import Stack, StackSettings
from pytest_dpone.services.supervisor import Settings

CANARY = "canary-7f3a"


def test_settings_survive_the_way() -> None:
    settings = StackSettings(
        run_id="r",
        providers={"postgres": "external", "minio": "embedded"},
        images={"clickhouse": "x:1"},
        external={"postgres": SecretStr(f"postgresql://u:{CANARY}@h:1/d")},
        start_timeout=5.0,
        pull_timeout=7.0,
        compose_file="/a/file.yml",
    )
    assert Settings(**json.loads(settings.to_json())) == Settings(
        run_id="r",
        providers={"postgres": "external", "minio": "embedded"},
        images={"clickhouse": "x:1"},
        external={"postgres": f"postgresql://u:{CANARY}@h:1/d"},
        start_timeout=5.0,
        pull_timeout=7.0,
        compose_file="/a/file.yml",
    )
    assert json.loads(StackSettings(run_id="r").to_json())["compose_file"] == str(PACKAGED)


def test_settings_show_no_secret() -> None:
    settings = StackSettings(run_id="r", external={"minio": SecretStr(f"s3://k:{CANARY}@h:1")})
    assert CANARY not in repr(settings)
    assert CANARY not in repr(Settings(**json.loads(settings.to_json())))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("postgres", "postgres://h/d"),
        ("clickhouse", "clickhouses://h/"),
        ("minio", "s3s://k:s@h:1?region=eu-1"),
        ("schema_registry", "http://u:p@h:8081"),
        ("schema_registry", "https://u:p@h/apis/ccompat/v7"),
    ],
)
def test_other_spellings_of_an_address_are_taken(name: str, url: str) -> None:
    assert StackSettings(run_id="r", external={name: SecretStr(url)}).external[name].get_secret_value() == url


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"providers": {"postgress": "auto"}}, "unknown service 'postgress'"),
        ({"providers": {"postgres": "podman"}}, "unknown provider 'podman'"),
        ({"images": {"oracle": "x"}}, "unknown service 'oracle'"),
        ({"start_timeout": 0.0}, "a timeout must be more than 0 seconds"),
        ({"external": {"postgres": SecretStr(f"mysql://u:{CANARY}@h:1")}}, "the address of postgres can't be read"),
        ({"external": {"postgres": SecretStr(f"postgresql://u:{CANARY}@")}}, "the address of postgres can't be read"),
        ({"external": {"minio": SecretStr(f"s3://u:{CANARY}@h:port")}}, "the address of minio can't be read"),
        ({"external": {"minio": SecretStr(f"http://u:{CANARY}@h:9000")}}, "the address of minio can't be read"),
        (
            {"external": {"minio": SecretStr(f"s3://u:{CANARY}@h:9/b")}},
            "the address of minio names a database or bucket",
        ),
        (
            {"external": {"schema_registry": SecretStr(f"ftp://u:{CANARY}@h:9")}},
            "the address of schema_registry can't be read",
        ),
        (
            {"external": {"clickhouse": SecretStr(f"clickhouses://u:{CANARY}@h:1/d?x=1")}},
            "the address of clickhouse names a database or bucket",
        ),
    ],
)
def test_bad_settings_are_refused_at_once(changes: dict[str, object], fact: str) -> None:
    with pytest.raises(UsageError) as caught:
        StackSettings(run_id="r", **changes)  # type: ignore[arg-type]
    assert caught.value.fact == fact
    assert caught.value.hint
    assert CANARY not in str(caught.value)


def test_addresses_come_from_the_environment() -> None:
    found = external_from_environ(
        {
            "DPONE_POSTGRES_URL": "postgresql://u:p@h/d",
            "DPONE_POSTGRES_HOST": "other",
            "DPONE_MINIO_URL": "s3://k:s@h:9000",
            "DPONE_CLICKHOUSE_URL": "",
            "DPONE_KAFKA_URL": "kafka://h",
            "DPONE_SCHEMA_REGISTRY_URL": "",
        }
    )
    assert {name: url.get_secret_value() for name, url in found.items()} == {
        "postgres": "postgresql://u:p@h/d",
        "minio": "s3://k:s@h:9000",
        "kafka": "kafka://h",
    }
    assert external_from_environ({}) == {}


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({}, "postgresql://postgres@h:5432/postgres"),
        (
            {"PASSWORD": "p@ss/w:d", "USER": "ü", "PORT": "1", "DATABASE": "a b"},
            "postgresql://%C3%BC:p%40ss%2Fw%3Ad@h:1/a%20b",
        ),
        ({"HOST": "::1"}, "postgresql://postgres@[::1]:5432/postgres"),
    ],
)
def test_postgres_may_be_given_in_parts(parts: dict[str, str], url: str) -> None:
    environ = {f"DPONE_POSTGRES_{name}": value for name, value in {"HOST": "h", **parts}.items()}
    assert external_from_environ(environ)["postgres"].get_secret_value() == url


def test_children_get_no_secret_through_the_environment() -> None:
    environ = {
        "DPONE_POSTGRES_URL": CANARY,
        "DPONE_POSTGRES_PASSWORD": CANARY,
        "DPONE_X_SECRET": CANARY,
        "PGPASSWORD": CANARY,
        "PGHOST": "elsewhere",
        "DPONE_POSTGRES_BIN": "/bin",
        "PATH": "/usr/bin",
    }
    assert children_environ(environ) == {"DPONE_POSTGRES_BIN": "/bin", "PATH": "/usr/bin"}


def test_scrubber_takes_out_every_spelling() -> None:
    scrub = Scrubber(["postgresql://user:p%40ss%2F1@h/d?sslpassword=inner-one"])
    scrub.add("generated")
    text = "postgresql://user:p%40ss%2F1@h/d?sslpassword=inner-one p@ss/1 p%40ss%2F1 inner-one generated user"
    assert scrub(text) == "postgresql://user:***@h/d?sslpassword=*** *** *** *** *** user"


def test_nobody_answers() -> None:
    with pytest.raises(ServiceFailed) as caught:
        Stack.connect("/nonexistent/private/socket")
    assert caught.value.fact.startswith("the services' supervisor does not answer: [Errno 2]")
    assert caught.value.hint == "it was killed, or the run that owns it is over; start the run again"


def test_a_session_token_may_stand_beside_the_address() -> None:
    for url, whole in (
        ("s3://k:s@h:9000", "s3://k:s@h:9000?token=a%2B%2F%3D"),
        ("s3://k:s@h:9000?region=eu-1", "s3://k:s@h:9000?region=eu-1&token=a%2B%2F%3D"),
    ):
        found = external_from_environ({"DPONE_MINIO_URL": url, "DPONE_MINIO_TOKEN": "a+/="})
        assert found["minio"].get_secret_value() == whole
    assert external_from_environ({"DPONE_MINIO_TOKEN": CANARY}) == {}
    with pytest.raises(UsageError) as caught:
        external_from_environ({"DPONE_MINIO_URL": f"s3://k:s@h?token={CANARY}", "DPONE_MINIO_TOKEN": "b"})
    assert CANARY not in str(caught.value)
