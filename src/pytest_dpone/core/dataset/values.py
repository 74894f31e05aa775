"""Values per kind: plain ones from random bits, and the edge values that break movers (DESIGN §5)."""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

from ..kinds import arrow_type, decimal_of
from ..own import OWN

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_DAY_US = 86_400_000_000


@lru_cache(maxsize=1024)
def u64(value: int) -> pa.Scalar:
    """`value` modulo 2^64 as an Arrow scalar."""
    return pa.scalar(value & _MASK, pa.uint64())


def salt(seed: int, *names: str) -> int:
    """A 64-bit number that depends on the seed and the names only."""
    return int.from_bytes(sha256("\x1f".join((str(seed), *names)).encode()).digest()[:8], "little")


def mix(numbers: pa.Array, key: int) -> pa.Array:
    """64 well-mixed bits per number (uint64 in and out): the finaliser of splitmix64, keyed.

    Depends on each number alone, so a value is the same whatever batch it is generated in.
    """
    return _finalised(pc.add(pc.multiply(numbers, u64(_GOLDEN)), u64(key)))


def mix_each(numbers: pa.Array, keys: Sequence[int]) -> pa.Array:
    """`mix(numbers, key)` of each of the keys, behind one another."""
    steps = pc.multiply(numbers, u64(_GOLDEN))
    return _finalised(pa.concat_arrays([steps.slice(0, 0), *(pc.add(steps, u64(key)) for key in keys)]))


def _finalised(bits: pa.Array) -> pa.Array:
    bits = pc.multiply(pc.bit_wise_xor(bits, pc.shift_right(bits, u64(30))), u64(_MIX1))
    bits = pc.multiply(pc.bit_wise_xor(bits, pc.shift_right(bits, u64(27))), u64(_MIX2))
    return pc.bit_wise_xor(bits, pc.shift_right(bits, u64(31)))


def remainder(bits: pa.Array, divisor: int | pa.Array) -> pa.Array:
    """`bits` modulo `divisor`, as uint64 (Arrow has no modulo); with an array, element by element."""
    by = u64(divisor) if isinstance(divisor, int) else divisor
    return pc.subtract(bits, pc.multiply(pc.divide(bits, by), by))


def arange(start: int, stop: int) -> pa.Array:
    """The int64 numbers from `start` to below `stop`."""
    count = stop - start
    return pc.add(_counting(max(16, (count - 1).bit_length())).slice(0, count), pa.scalar(start, pa.int64()))


@lru_cache(maxsize=4)
def _counting(bits: int) -> pa.Array:
    """0, 1, 2, … below 2**bits; kept, since Python's part of making it is slow."""
    return pa.Array.from_buffers(pa.int64(), 1 << bits, [None, pa.py_buffer(array("q", range(1 << bits)))])


def interleave(first: pa.Array, second: pa.Array) -> bytes:
    """The 64-bit words of two arrays of one length, in turn: first[0], second[0], first[1], … (16 bytes an element)."""
    n = len(first)
    turn = arange(0, 2 * n)
    half = pc.shift_right(turn, pa.scalar(1, pa.int64()))
    odd = pc.bit_wise_and(turn, pa.scalar(1, pa.int64()))
    words = pa.concat_arrays([first, second]).take(pc.add(half, pc.multiply(odd, pa.scalar(n, pa.int64()))))
    return bytes(words.buffers()[1].to_pybytes()[: 16 * n])


LARGE = "one_megabyte"
"""The feature of values that few rows of few columns have."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge value. `feature` names the class that a contract may reject; empty: every family holds it."""

    value: object
    feature: str = ""


def edges_of(kind: str) -> tuple[Edge, ...]:
    """The edge values of `kind`, the same in the same order always."""
    if decimal := decimal_of(kind):
        return _decimal_edges(*decimal)
    if own := OWN.get(kind):
        return _edges(*own.edges)
    return (*_EDGES[kind], *(Edge(value, LARGE) for value in _large(kind)))


@cache
def _large(kind: str) -> tuple[object, ...]:
    """2^20 bytes that hardly compress, so that no server keeps them inside of the row."""
    digits = "".join(sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(2**14))
    return {"text": (digits,), "binary": (digits.encode(),)}.get(kind, ())


def plain_values(kind: str, bits: pa.Array) -> pa.Array:
    """One ordinary value of `kind` per element of `bits` (uint64), in the kind's canonical Arrow type, no NULL."""
    if decimal := decimal_of(kind):
        return _plain_decimal(bits, *decimal)
    if own := OWN.get(kind):
        return _drawn_text(bits, own.plain)
    return _PLAIN[kind](bits)


def _drawn_text(bits: pa.Array, pattern: str) -> pa.Array:
    """`pattern` per element, with a number for each `<low-high>`."""
    parts: list[object] = []
    for place, part in enumerate(re.split(r"<(\d+-\d+)>", pattern)):
        if place % 2 == 0:
            parts.append(part)
            continue
        low, high = map(int, part.split("-"))
        bits = mix(bits, place)
        parts.append(pc.cast(pc.add(remainder(bits, high - low + 1), u64(low)), pa.string()))
    if len(parts) == 1:
        return pa.repeat(pa.scalar(pattern), len(bits))
    return pc.binary_join_element_wise(*parts, "")


def _plain_decimal(bits: pa.Array, precision: int, scale: int) -> pa.Array:
    digits = min(precision, 17)
    signed = pc.subtract(pc.cast(remainder(bits, 10**digits), pa.int64()), pa.scalar(10**digits // 2, pa.int64()))
    high = pc.if_else(pc.less(signed, 0), pa.scalar(-1, pa.int64()), pa.scalar(0, pa.int64()))  # two's complement
    words = pa.py_buffer(interleave(signed, high))
    target = arrow_type(f"decimal({precision},{scale})")
    narrow = pa.decimal128(min(precision, 38), scale)
    return pa.Array.from_buffers(narrow, len(bits), [None, words]).cast(target)


def _plain_bool(bits: pa.Array) -> pa.Array:
    return pc.equal(pc.bit_wise_and(bits, u64(1)), u64(1))


def _plain_int(width: int) -> Callable[[pa.Array], pa.Array]:
    target = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[width]

    def draw(bits: pa.Array) -> pa.Array:
        return pc.cast(pc.shift_right(bits.view(pa.int64()), pa.scalar(64 - width, pa.int64())), target)

    return draw


def _plain_float64(bits: pa.Array) -> pa.Array:
    # 53 bits convert exactly, and one multiplication by a power of two is exact: the same on every machine.
    return pc.multiply(pc.cast(pc.shift_right(bits, u64(11)), pa.float64()), pa.scalar(2.0**-33, pa.float64()))


def _plain_float32(bits: pa.Array) -> pa.Array:
    return pc.cast(
        pc.multiply(pc.cast(pc.shift_right(bits, u64(40)), pa.float64()), pa.scalar(2.0**-10, pa.float64())),
        pa.float32(),
    )


_WORDS = pa.array(
    [
        "amber",
        "birch",
        "cobalt",
        "delta",
        "ember",
        "fjord",
        "garnet",
        "harbour",
        "indigo",
        "juniper",
        "krill",
        "lagoon",
        "maple",
        "nectar",
        "onyx",
        "Привет",
        "naïve",
        "Zürich",
        "東京",
        "señal",
        "ärger",
        "smörgås",
        "żółw",
        "İstanbul",
    ]
)


def _plain_text(bits: pa.Array) -> pa.Array:
    words = _WORDS.take(pc.cast(remainder(bits, len(_WORDS)), pa.int64()))
    number = pc.cast(pc.shift_right(bits, u64(24)), pa.string())
    return pc.binary_join_element_wise(words, number, "-")


def _plain_binary(bits: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(8), len(bits), [None, bits.buffers()[1]], offset=bits.offset).cast(
        pa.binary()
    )


def _plain_date(bits: pa.Array) -> pa.Array:
    return pc.cast(remainder(bits, 80 * 365), pa.int32()).view(pa.date32())


def _micros(bits: pa.Array, span: int, kind: str) -> pa.Array:
    return pc.cast(remainder(bits, span), pa.int64()).view(arrow_type(kind))


def _plain_uuid(bits: pa.Array) -> pa.Array:
    digits = pa.py_buffer(interleave(bits, mix(bits, 7)).hex().encode())
    whole = pa.Array.from_buffers(pa.binary(32), len(bits), [None, digits]).cast(pa.binary()).cast(pa.string())
    parts = [
        pc.utf8_slice_codeunits(whole, start, stop) for start, stop in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.binary_join_element_wise(*parts, "-")


def _plain_json(bits: pa.Array) -> pa.Array:
    number = pc.cast(pc.shift_right(bits, u64(20)), pa.string())
    return pc.binary_join_element_wise('{"n": ', number, ', "w": ["x", null, {"deep": true}]}', "")


def _plain_int_array(bits: pa.Array) -> pa.Array:
    count = len(bits)
    words = pa.py_buffer(interleave(bits, mix(bits, 11)))
    values = pc.shift_right(pa.Array.from_buffers(pa.int64(), 2 * count, [None, words]), pa.scalar(8, pa.int64()))
    offsets = pc.cast(pc.multiply(arange(0, count + 1), pa.scalar(2, pa.int64())), pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def _plain_text_array(bits: pa.Array) -> pa.Array:
    n = len(bits)
    return pa.ListArray.from_arrays(pc.cast(arange(0, n + 1), pa.int32()), _plain_text(bits))


_PLAIN: dict[str, Callable[[pa.Array], pa.Array]] = {
    "bool": _plain_bool,
    "int16": _plain_int(16),
    "int32": _plain_int(32),
    "int64": _plain_int(64),
    "uint64": lambda bits: bits,
    "float32": _plain_float32,
    "float64": _plain_float64,
    "text": _plain_text,
    "binary": _plain_binary,
    "date": _plain_date,
    "time": lambda bits: _micros(bits, _DAY_US, "time"),
    "timestamp": lambda bits: _micros(bits, 60 * 365 * _DAY_US, "timestamp"),
    "timestamptz": lambda bits: _micros(bits, 60 * 365 * _DAY_US, "timestamptz"),
    "uuid": _plain_uuid,
    "json": _plain_json,
    "array<int64>": _plain_int_array,
    "array<text>": _plain_text_array,
}


def _edges(*values: object) -> tuple[Edge, ...]:
    return tuple(Edge(value) for value in values)


def _decimal_edges(precision: int, scale: int) -> tuple[Edge, ...]:
    step = Decimal(1).scaleb(-scale)
    largest = Decimal(f"{'9' * (precision - scale)}.{'9' * scale}")  # from text: arithmetic rounds to 28 digits
    return _edges(largest, largest.copy_negate(), Decimal(0), step, step.copy_negate(), Decimal("1.1"), Decimal("-100"))


def _instants(*, zone: dt.tzinfo | None) -> tuple[Edge, ...]:
    def at(*parts: int) -> dt.datetime:
        return dt.datetime(*parts, tzinfo=zone)  # type: ignore[misc,arg-type]

    return (
        *_edges(
            at(1900, 1, 1),
            at(1969, 12, 31, 23, 59, 59, 999999),
            at(1970, 1, 1, 0, 0, 0, 1),
            at(2021, 3, 28, 1, 30),  # in Europe's spring gap
            at(2021, 10, 31, 1, 30),  # in Europe's autumn overlap
            at(2038, 1, 19, 3, 14, 8),
            at(2299, 12, 31, 23, 59, 59, 999999),
        ),
        Edge(at(1, 1, 1), "before_1900"),
        Edge(at(1582, 10, 15), "before_1900"),
        Edge(at(1899, 12, 31, 23, 59, 59), "before_1900"),
        Edge(at(2300, 1, 1), "after_2299"),
        Edge(at(9999, 12, 31, 23, 59, 59, 999999), "after_2299"),
    )


def _floats(subnormal: float, *others: float) -> tuple[Edge, ...]:
    infinity = float("inf")
    strange = (Edge(value, "not_finite") for value in (float("nan"), infinity, -infinity))
    return (*strange, *_edges(-0.0, 0.0), Edge(subnormal, "subnormal"), *_edges(*others))


_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "\\",
    "'",
    '"',
    "''\"\"`",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "\n",
    "trailing ",
    "a,b;c|d",
    "{}",
    "🦆🇺🇳",
    "Съешь ещё",
    "e\u0301 vs \u00e9",
    "\u200b\u202e",
    "\x01\x7f",
    "x" * 1000,
    "ß" * 256,
    "".join(sha256(bytes([i])).hexdigest() for i in range(60)),  # 3,840 characters that no server compresses away
    "<script>alert(1)</script>",
    "'; DROP TABLE x; --",
)

_EDGES: dict[str, tuple[Edge, ...]] = {
    "bool": _edges(True, False),
    "int16": _edges(-(2**15), 2**15 - 1, 0, -1),
    "int32": _edges(-(2**31), 2**31 - 1, 0, -1),
    "int64": _edges(-(2**63), 2**63 - 1, 0, -1, 2**53 + 1, -(2**53) - 1),
    "uint64": _edges(0, 1, 2**63 - 1, 2**63, 2**64 - 1, 2**53 + 1),
    "float32": _floats(1.401298464324817e-45, 3.4028234663852886e38),
    "float64": _floats(5e-324, 1.7976931348623157e308, 0.1, float(2**53) + 2),
    "text": (*_edges(*_TEXTS), Edge("a\0b", "nul")),
    "binary": _edges(b"", b"\0", b"\xff\0\xfe", b"\\x00", b"NULL", bytes(range(256)) * 4),
    "date": (
        *_edges(
            dt.date(1900, 1, 1),
            dt.date(1969, 12, 31),
            dt.date(1970, 1, 1),
            dt.date(2000, 2, 29),
            dt.date(2038, 1, 19),
            dt.date(2299, 12, 31),
        ),
        Edge(dt.date(1, 1, 1), "before_1900"),
        Edge(dt.date(1582, 10, 15), "before_1900"),
        Edge(dt.date(1899, 12, 31), "before_1900"),
        Edge(dt.date(2300, 1, 1), "after_2299"),
        Edge(dt.date(9999, 12, 31), "after_2299"),
    ),
    "time": _edges(dt.time(0), dt.time(23, 59, 59, 999999), dt.time(12, 0, 0, 1), dt.time(1, 2, 3)),
    "timestamp": _instants(zone=None),
    "timestamptz": _instants(zone=dt.UTC),
    "uuid": _edges("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "json": _edges(
        "{}",
        "[]",
        "null",
        '""',
        '{"a": 1, "A": 2, "a ": 3}',
        '{"\u00e9": 1, "e\u0301": 2, "1": 3, "01": 4, "1.0": 5, "null": 6}',
        '{"": null, "x": [[], {}, [null]]}',
        '{"big": 12345678901234567890123, "small": 0.1, "neg": -0.5}',
        '{"s": "\\u00e9 \\ud83e\\udd86 \\" \\\\ \\n"}',
        '[true, false, {"k": "NULL"}]',
    ),
    "array<int64>": (*_edges([], [None], [1, None, 2**63 - 1], [-(2**63)]), Edge(None, "null_array")),
    "array<text>": (
        *_edges([], [None], ["a", None, ""], ["NULL", "null", '"', "\\", "{", "}", ",", " ", "a b", "'", "\n"]),
        Edge(None, "null_array"),
    ),
}
