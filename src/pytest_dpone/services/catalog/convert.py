"""Arrow values as a service gives them → the canonical Arrow type of a kind, exactly or not at all."""

from __future__ import annotations

import binascii
import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ...core.kinds import Field, arrow_type
from ...core.own import is_own
from ...errors import DponeError


class UnreadableColumnError(DponeError):
    """A column holds a type or a value that can't be brought into the kind that it should have."""


def to_kind(values: pa.Array, field: Field) -> pa.Array:
    """`values` in the canonical type of `field`; raises `UnreadableColumnError` if that would change a value.

    UUIDs that are stored as text come back as that text, so that a deviation shows in the comparison.
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    target = arrow_type(field.kind)
    if values.type == target:
        return values
    if is_own(field.kind) and pa.types.is_nested(values.type):
        return nested_text(values)
    try:
        return _cast(values, field.kind, target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnreadableColumnError(
            f"the column {field.name!r} is {values.type} and can't be read as {field.kind}: {error}",
            hint="the column's type or one of its values is outside of what the kind can hold",
        ) from None


def nested_text(values: pa.Array) -> pa.Array:
    """Structs, maps and lists as JSON."""
    found = values.to_pylist(maps_as_pydicts="strict")
    texts = [None if v is None else json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in found]
    return pa.array(texts, pa.string())


def nested_values(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """The inverse of `nested_text`."""
    found = [None if text is None else json.loads(text) for text in texts.to_pylist()]
    if pa.types.is_map(kind):
        found = [None if value is None else list(value.items()) for value in found]
    return pa.array(found, kind)


def plainly_named(kind: pa.DataType) -> pa.DataType:
    """`kind` with Arrow's own names for what is in lists and maps: every writer of Parquet has other ones."""
    if pa.types.is_list(kind):
        return pa.list_(plainly_named(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(plainly_named(kind.key_type), plainly_named(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plainly_named(field.type)) for field in kind])
    return kind


def _cast(values: pa.Array, kind: str, target: pa.DataType) -> pa.Array:
    source = values.type
    if kind == "uuid" and pa.types.is_fixed_size_binary(source):
        return uuid_text(values)
    if pa.types.is_list(target) and pa.types.is_string(source):
        return lists_of_json(values, target)
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target) and bool(source.tz) != bool(target.tz):
        raise pa.ArrowInvalid("one has a time zone and the other has none")
    if pa.types.is_time(target) and (pa.types.is_binary(source) or pa.types.is_string(source)):
        # Arrow parses points in time only; the day cancels out.
        moments = pc.binary_join_element_wise("1970-01-01", values.cast(pa.string()), " ").cast(pa.timestamp("us"))
        return moments.cast(target)
    if _may_lose(source, target):
        result = values.cast(target, safe=False)
        _check_same(values, result)
        return result
    return values.cast(target)


def _may_lose(source: pa.DataType, target: pa.DataType) -> bool:
    """Casts that Arrow calls safe, or refuses as a whole, though each value decides: narrower floats, bool from int."""
    narrower = pa.types.is_floating(source) and pa.types.is_floating(target)
    return bool(narrower or (pa.types.is_boolean(target) and pa.types.is_integer(source)))


def _check_same(before: pa.Array, after: pa.Array) -> None:
    back = after.cast(before.type)
    same = pc.equal(before, back)
    if pa.types.is_floating(before.type):
        same = pc.or_(same, pc.and_(pc.is_nan(before), pc.is_nan(back)))
    if pc.all(same).as_py() is False:
        first = before.filter(pc.invert(same))[0].as_py()
        raise pa.ArrowInvalid(f"the value {first!r} would change")


def lists_of_json(column: pa.Array, target: pa.DataType) -> pa.Array:
    """JSON arrays as text → lists, by Arrow's JSON reader."""
    if len(column) == 0:
        return pa.array([], target)
    lines = pc.binary_join_element_wise('{"v":', pc.fill_null(column, "null"), "}\n", "")
    data = lines.buffers()[2]
    table = pa.json.read_json(
        pa.BufferReader(data),
        read_options=pa.json.ReadOptions(block_size=data.size + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema([("v", target)]), unexpected_field_behavior="error"
        ),
    )
    return whole(table.column("v"))


def whole(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def hex_text(values: pa.Array) -> pa.Array:
    """Binary → text with two hexadecimal digits per byte, NULL stays; no loop over rows."""
    values = values.cast(pa.large_binary())
    offsets, data = _buffers(values)
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    digits = binascii.hexlify(memoryview(data)[first:last]) if data is not None else b""
    doubled = pc.multiply(pc.subtract(offsets, first), 2)
    return _varied(pa.large_string(), len(values), values, doubled, digits)


def hex_bytes(values: pa.Array) -> pa.Array:
    """Text of hexadecimal digits → binary, NULL stays; the inverse of `hex_text`. Raises `ArrowInvalid` for others."""
    values = values.cast(pa.large_string())
    offsets, data = _buffers(values)
    if pc.any(pc.not_equal(pc.bit_wise_and(pc.subtract(offsets, offsets[0]), 1), 0)).as_py():
        raise pa.ArrowInvalid("an odd number of hexadecimal digits")
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    try:
        raw = binascii.unhexlify(memoryview(data)[first:last]) if data is not None else b""
    except binascii.Error as error:
        raise pa.ArrowInvalid(f"not hexadecimal: {error}") from None
    halved = pc.divide(pc.subtract(offsets, first), 2)
    return _varied(pa.large_binary(), len(values), values, halved, raw).cast(pa.binary())


def uuid_text(values: pa.Array) -> pa.Array:
    """16-byte values → lower-case UUID text with hyphens."""
    digits = hex_text(values.cast(pa.binary())).cast(pa.string())
    parts = [pc.utf8_slice_codeunits(digits, a, b) for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))]
    return pc.binary_join_element_wise(*parts, "-")


def _buffers(values: pa.Array) -> tuple[pa.Array, pa.Buffer | None]:
    _, offsets, data = values.buffers()
    if len(values) == 0:
        return pa.array([0], pa.int64()), data
    return pa.Array.from_buffers(pa.int64(), len(values) + 1, [None, offsets], offset=values.offset), data


def _varied(kind: pa.DataType, length: int, like: pa.Array, offsets: pa.Array, data: bytes) -> pa.Array:
    """An array with the NULLs of `like`, from 64-bit offsets and one buffer of data."""
    made = pa.Array.from_buffers(kind, length, [None, offsets.buffers()[1], pa.py_buffer(data)])
    return pc.if_else(pc.is_valid(like), made, pa.scalar(None, kind)) if like.null_count else made
