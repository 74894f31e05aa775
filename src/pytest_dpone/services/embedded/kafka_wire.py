"""Kafka's protocol on the codec `kio`: requests become objects, plain dicts become responses.

A handler gets the request as kio reads it, and answers with a dict: field names as kio has them, whatever is left out
takes the protocol's default. So one handler serves all versions of a request.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import struct
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

Fields = dict[str, Any]
API_VERSIONS = 18
LARGEST_REQUEST = 100 << 20
"""Bytes; as `socket.request.max.bytes` of a real broker."""


class Code(IntEnum):
    """Error codes of the protocol, those that we give."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    MESSAGE_TOO_LARGE = 10
    INVALID_TOPIC = 17
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    OUT_OF_ORDER_SEQUENCE = 45
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    SASL_AUTHENTICATION_FAILED = 58
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    MEMBER_ID_REQUIRED = 79
    FENCED_INSTANCE_ID = 82
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    UNKNOWN_TOPIC_ID = 100


@dataclass(frozen=True)
class Caller:
    """Who sent a request, and in which version of its API."""

    version: int
    client: str
    host: str


@dataclass(frozen=True)
class Api:
    """One request type: its key, the versions that we speak, and who answers. An answer of None is not sent."""

    key: int
    lowest: int
    highest: int
    answer: Callable[[Any, Any, Caller], Awaitable[Fields | None]]


@dataclass(frozen=True)
class Header:
    """What stands before a request's own fields, and where those begin."""

    key: int
    version: int
    correlation: int
    client: str
    end: int


_HEADER = struct.Struct(">hhih")


def read_header(message: bytes) -> Header:
    """The header of a request, up to the client's name; flexible versions have tagged fields behind it."""
    key, version, correlation, length = _HEADER.unpack_from(message)
    end = _HEADER.size + max(length, 0)
    return Header(key, version, correlation, message[_HEADER.size : end].decode(errors="replace"), end)


def read_request(header: Header, message: bytes) -> Any:
    """The request behind `header`; raises if the message can't be read."""
    reader, flexible = _reader(header.key, header.version)
    request, _ = reader(message, _skip_tags(message, header.end) if flexible else header.end)
    return request


def write_response(key: int, version: int, correlation: int, fields: Fields) -> bytes:
    """A response with its length in front."""
    schema, writer, flexible = _writer(key, version)
    out = io.BytesIO()
    out.write(b"\0\0\0\0" + correlation.to_bytes(4, "big", signed=True))
    if flexible and key != API_VERSIONS:  # its header never has tagged fields, so that any client can read it
        out.write(b"\0")
    writer(out, _build(schema, fields))
    message = out.getbuffer()
    message[:4] = (len(message) - 4).to_bytes(4, "big")
    return bytes(message)


def milliseconds(value: timedelta | int) -> int:
    """kio gives some times as `timedelta`, others as numbers."""
    return round(value.total_seconds() * 1000) if isinstance(value, timedelta) else value


@functools.cache
def _reader(key: int, version: int) -> tuple[Callable[..., Any], bool]:
    schema = load_request_schema(key, version)
    return entity_reader(schema), bool(schema.__flexible__)


@functools.cache
def _writer(key: int, version: int) -> tuple[type, Callable[..., None], bool]:
    schema = load_response_schema(key, version)
    return schema, entity_writer(schema), bool(schema.__flexible__)


def _skip_tags(message: bytes, position: int) -> int:
    count, position = _unsigned(message, position)
    for _ in range(count):
        _, position = _unsigned(message, position)
        length, position = _unsigned(message, position)
        position += length
    return position


def _unsigned(message: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


@dataclass(frozen=True)
class _Field:
    """How to make the value of one field of a kio class."""

    name: str
    nested: type | None
    many: bool
    default: Any
    convert: Callable[[Any], Any] | None


_ZEROS = {
    "string": "",
    "bool": False,
    "bytes": b"",
    "error_code": ErrorCode.none,
    "timedelta_i32": timedelta(),
    "timedelta_i64": timedelta(),
    "records": None,
    "uuid": None,
    "datetime_i64": None,
    "float64": 0.0,
}


def _build(schema: type, fields: Fields) -> Any:
    values: Fields = {}
    for field in _plan(schema):
        value = fields.get(field.name, field.default)
        if value is None or field.name not in fields:
            values[field.name] = value
        elif field.nested is not None:
            nested = field.nested
            values[field.name] = tuple(_build(nested, item) for item in value) if field.many else _build(nested, value)
        elif field.many:
            values[field.name] = tuple(value)
        else:
            values[field.name] = field.convert(value) if field.convert else value
    return schema(**values)


@functools.cache
def _plan(schema: type) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(schema)
    return tuple(_field(field, hints[field.name]) for field in dataclasses.fields(schema))


def _field(field: dataclasses.Field[Any], hint: Any) -> _Field:
    kind = field.metadata.get("kafka_type")
    arguments = typing.get_args(hint)
    optional = type(None) in arguments
    if optional:
        hint = next(argument for argument in arguments if argument is not type(None))
        arguments = typing.get_args(hint)
    many = typing.get_origin(hint) is tuple
    nested = None if kind is not None else (arguments[0] if many else hint)
    default = field.default
    if default is dataclasses.MISSING:
        default = () if many else None if optional else _ZEROS.get(kind or "", 0)
    return _Field(field.name, nested, many, default, _converter(kind or ""))


def _converter(kind: str) -> Callable[[Any], Any] | None:
    if kind == "error_code":
        return ErrorCode
    if kind.startswith("timedelta"):
        return lambda value: timedelta(milliseconds=value)
    if kind.startswith("datetime"):
        return lambda value: None if value < 0 else datetime.fromtimestamp(value / 1000, UTC)
    return None
