"""Avro's own types as columns of topics: their schemas, and texts of their values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_INNER = {"type": "record", "name": "Inner", "fields": [{"name": "c", "type": ["null", "string"]}]}
_OUTER = {
    "type": "record",
    "name": "Outer",
    "fields": [
        {"name": "a", "type": ["null", "long"]},
        {"name": "b", "type": ["null", _INNER]},
        {"name": "d", "type": ["null", {"type": "array", "items": ["null", "int"]}]},
    ],
}
_ITEM = {"type": "record", "name": "Item", "fields": [{"name": "a", "type": ["null", "int"]}]}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}

AVRO: tuple[tuple[str, str, Any, str, tuple[str, ...]], ...] = (
    (
        "enum",
        "enum(c1, c2, c3, NULL, _)",
        {"type": "enum", "name": "Mood", "symbols": ["c1", "c2", "c3", "NULL", "_"]},
        "c<1-3>",
        ("NULL", "_"),
    ),
    ("fixed", "fixed(6)", {"type": "fixed", "name": "Six", "size": 6}, "<1000-9999>AAAA", ("AAAAAAAA", "////////")),
    (
        "duration",
        "duration",
        {"type": "fixed", "name": "Duration", "size": 12, "logicalType": "duration"},
        "P<1-11>M<1-28>DT<1-59>.<100-999>S",
        ("P0M0DT0.000S", "P0M0DT0.001S", "P4294967295M4294967295DT4294967.295S"),
    ),
    (
        "map",
        "map<long>",
        {"type": "map", "values": ["null", "long"]},
        '{"a":<1-99>,"b":null}',
        ("{}", '{"":0,"A":1,"a":2}', '{"NULL":-9223372036854775808}'),
    ),
    (
        "map of bytes",
        "map<bytes>",
        {"type": "map", "values": "bytes"},
        '{"a":"<1000-9999>"}',
        ("{}", '{"":""}', '{"a":"////"}'),
    ),
    (
        "record",
        "record<a: long, b: record<c: string>, d: array<int>>",
        _OUTER,
        '{"a":<1-99>,"b":{"c":"x"},"d":[1,null]}',
        ('{"a":null,"b":null,"d":[]}', '{"a":-9223372036854775808,"b":{"c":"\\" \\\\ ü"},"d":null}'),
    ),
    (
        "array of records",
        "array<record<a: int>>",
        {"type": "array", "items": ["null", _ITEM]},
        '[{"a":<1-99>},{"a":null}]',
        ("[]", "[null]"),
    ),
    (
        "array of arrays",
        "array<array<long>>",
        {"type": "array", "items": ["null", {"type": "array", "items": ["null", "long"]}]},
        "[[<1-99>],[2,null]]",
        ("[]", "[[]]", "[null]"),
    ),
    (
        "array of booleans",
        "array<boolean>",
        {"type": "array", "items": ["null", "boolean"]},
        "[true,false]",
        ("[]", "[null]"),
    ),
    (
        "array of decimals",
        "array<decimal(18,4)>",
        {"type": "array", "items": ["null", _DECIMAL]},
        '["<1-99>.2500",null]',
        ("[]", '["-0.0001"]', '["99999999999999.9999"]'),
    ),
)
"""Name, the type as the contracts spell it, its schema, the ordinary value, and edge values."""

AVRO_TYPES: Mapping[str, Any] = MappingProxyType({native: schema for _, native, schema, _, _ in AVRO})
"""Type as the contracts spell it → its schema. Names in it are for one column: two columns need names of their own."""
