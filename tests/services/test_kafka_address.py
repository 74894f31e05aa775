"""Addresses of Kafka, and the questions to it that are answered without a server."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pytest_dpone.core.secrets import Scrubber, redact
from pytest_dpone.errors import UsageError
from pytest_dpone.services.addresses import external_from_environ
from pytest_dpone.services.kafka_address import KafkaAddress, client_settings, from_parts, parse_address, with_registry
from pytest_dpone.services.kafka_ask import read_features, release
from pytest_dpone.services.stack import StackSettings

CANARY = "c4n4ry/p@ss"
SPELLED = "c4n4ry%2Fp%40ss"


def test_an_address_with_everything() -> None:
    url = f"kafkas://%C3%BC:{SPELLED}@one:9093,[::1]:9094,three?sasl=scram-sha-512&ca=/etc/ca.pem"
    address = parse_address(url)
    assert address == KafkaAddress(
        servers=(("one", 9093), ("::1", 9094), ("three", 9092)),
        secure=True,
        user="ü",
        password=CANARY,
        mechanism="scram-sha-512",
        authorities="/etc/ca.pem",
    )
    assert CANARY not in repr(address)
    assert client_settings(url) == {
        "bootstrap.servers": "one:9093,[::1]:9094,three:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ü",
        "sasl.password": CANARY,
        "ssl.ca.location": "/etc/ca.pem",
    }


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("kafka://h", "PLAINTEXT"),
        ("kafkas://h", "SSL"),
        ("kafka://u:p@h", "SASL_PLAINTEXT"),
        ("kafkas://u:p@h", "SASL_SSL"),
    ],
)
def test_the_protocol_follows_from_the_address(url: str, protocol: str) -> None:
    settings = client_settings(url)
    assert settings["security.protocol"] == protocol
    assert settings.get("sasl.mechanism") == ("PLAIN" if "@" in url else None)


@pytest.mark.parametrize(
    "rest",
    ["h:0", "h:port", "", "h,", "h/topic", "h?sasl=gssapi", "h?sasl", "h?colour=red", "h#x"],
)
def test_a_bad_address_is_refused_without_being_shown(rest: str) -> None:
    for scheme in ("kafka", "kafkas"):
        with pytest.raises(UsageError) as caught:
            StackSettings(run_id="r", external={"kafka": SecretStr(f"{scheme}://u:{SPELLED}@{rest}")})
        assert caught.value.fact == "the address of kafka can't be read"
        assert SPELLED not in str(caught.value)
    with pytest.raises(UsageError):
        parse_address("http://h:9092")


def test_an_address_in_parts() -> None:
    parts = {
        "DPONE_KAFKA_BOOTSTRAP": "a:1,b:2",
        "DPONE_KAFKA_USER": "u",
        "DPONE_KAFKA_PASSWORD": CANARY,
        "DPONE_KAFKA_SASL": "SCRAM-SHA-256",
        "DPONE_KAFKA_TLS": "true",
        "DPONE_KAFKA_CA": "/ca.pem",
    }
    url = external_from_environ(parts)["kafka"].get_secret_value()
    assert url == f"kafkas://u:{SPELLED}@a:1,b:2?sasl=scram-sha-256&ca=/ca.pem"
    assert parse_address(url).password == CANARY
    assert from_parts({"DPONE_KAFKA_BOOTSTRAP": "a:1"}) == "kafka://a:1"
    assert from_parts({"DPONE_KAFKA_USER": "u"}) == ""
    whole = external_from_environ({**parts, "DPONE_KAFKA_URL": "kafka://other"})
    assert whole["kafka"].get_secret_value() == "kafka://other"


def test_a_list_of_servers_is_shown_without_its_secrets() -> None:
    url = f"kafkas://u:{SPELLED}@a:1,b:2?sasl=plain"
    assert redact(url) == "kafkas://a:1,b:2"
    assert Scrubber([url])(f"{CANARY} {SPELLED}") == "*** ***"


def test_releases_are_known_by_their_metadata_version() -> None:
    assert [release(level) for level in (0, 1, 5, 21, 22, 25, 26, 27, 30, 31)] == [
        *("unknown", "3.0", "3.3", "3.9", "4.0", "4.0", "4.1", "4.1", "4.3"),
        "newer than 4.3",
    ]


def test_features_are_read_from_an_answer() -> None:
    keys = b"\x03" + b"\0\0\0\x03\0\x0b\0" + b"\0\x01\0\x04\0\x0c\0"
    features = b"\x03" + b"\x11metadata.version" + b"\0\x07\0\x1b\0" + b"\x0egroup.version" + b"\0\0\0\x01\0"
    tags = b"\x02" + b"\x01\x01\x07" + b"\0" + bytes([len(features)]) + features
    answer = b"\0\0\0\x01" + b"\0\0" + keys + b"\0\0\0\0" + tags
    assert read_features(answer) == {"metadata.version": 27, "group.version": 1}
    assert read_features(b"\0\0\0\x01\0\x23" + b"\0\0\0\0") == {}


@pytest.mark.parametrize("url", ["kafka://u:p@one:9093", "kafka://u:p@one:9093,two?sasl=plain"])
def test_an_address_with_its_registry(url: str) -> None:
    registry = f"http://me:{SPELLED}@127.0.0.1:8081/below"
    joined = with_registry(url, registry)
    assert parse_address(joined).registry == registry
    assert client_settings(joined) == client_settings(url)
    assert "c4n4ry" not in repr(parse_address(joined))
    assert "registry" not in redact(joined)
    scrubbed = Scrubber([joined])
    for text in (joined, registry, f"http://me:{CANARY}@x", f"tried me:{SPELLED}"):
        assert "c4n4ry" not in scrubbed(text), text
