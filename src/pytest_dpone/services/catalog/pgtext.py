"""Arrow rows ↔ the CSV that Postgres' COPY reads and writes; exact, column by column, no loop over rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ...core.kinds import Field, arrow_type, decimal_of
from ...core.own import is_own
from .convert import UnreadableColumnError, hex_bytes, hex_text, lists_of_json, to_kind, whole

# What makes the text of a value independent of the server's, the database's and the role's settings.
SESSION = (
    "SET client_encoding TO 'UTF8'",
    "SET standard_conforming_strings TO on",
    "SET TimeZone TO 'UTC'",
    "SET DateStyle TO 'ISO, YMD'",
    "SET IntervalStyle TO 'postgres'",
    "SET lc_monetary TO 'C'",
    "SET extra_float_digits TO 1",
    "SET bytea_output TO 'hex'",
    "SET search_path TO ''",
    "SET statement_timeout TO 0",
    # An engine may leave a lock behind: the harness then says so instead of waiting for ever.
    "SET lock_timeout TO '60s'",
    "SET jit TO off",
    "SET work_mem TO '256MB'",
)


def encode_rows(batch: pa.RecordBatch) -> bytes:
    """Canonical rows as CSV for `COPY … FROM STDIN (FORMAT csv)`: NULL is empty, '' is quoted."""
    columns = [_outgoing(column) for column in batch.columns]
    # The names are not written; they only have to be distinct.
    plain = pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])
    sink = pa.BufferOutputStream()
    options = pa.csv.WriteOptions(include_header=False, batch_size=max(1, batch.num_rows), quoting_style="needed")
    pa.csv.write_csv(plain, sink, options)
    return bytes(sink.getvalue())


def _outgoing(values: pa.Array) -> pa.Array:
    if pa.types.is_binary(values.type):
        digits = hex_text(values)
        return pc.binary_join_element_wise(pa.scalar("\\x", digits.type), digits, pa.scalar("", digits.type))
    if pa.types.is_list(values.type):
        return _array_literals(values)
    return values


def _array_literals(lists: pa.Array) -> pa.Array:
    """Lists as Postgres array literals, `{1,NULL,3}` and `{"a\\"b",NULL}`."""
    items = lists.flatten()
    if pa.types.is_string(items.type):
        escaped = pc.replace_substring(pc.replace_substring(items, "\\", "\\\\"), '"', '\\"')
        items = pc.binary_join_element_wise('"', escaped, '"', "")
    items = pc.fill_null(items.cast(pa.string()), "NULL")
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")
    literals = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.if_else(pc.is_valid(lists), literals, pa.scalar(None, pa.string()))


@dataclass(frozen=True, slots=True)
class Reading:
    """How one column is read: an SQL expression over the quoted name `{0}`, its CSV type, and what follows."""

    field: Field
    sql: str
    csv_type: pa.DataType
    finish: Callable[[pa.Array], pa.Array] | None = None


def reading(field: Field, native: str) -> Reading:
    """How a column of the type `native` is read as `field`; raises `UnreadableColumnError` if it can't be, exactly."""
    base = re.sub(r"\([^)]*\)", "", native)
    target = arrow_type(field.kind)
    if is_own(field.kind):
        # without a cast: COPY prints by the type's output function, and `::text` cuts or adds to some types
        return Reading(field, "{0}", target)
    if field.kind == "binary" and base == "bytea":
        return Reading(field, "encode({0}, 'hex')", pa.string(), hex_bytes)
    if field.kind.startswith("array<") and base in _ARRAYS[field.kind]:
        return Reading(field, "array_to_json({0})::text", pa.string(), lambda column: lists_of_json(column, target))
    if field.kind == "float32" and base == "double precision":
        return Reading(field, "{0}", pa.float64())
    if decimal_of(field.kind) and base in _PLAIN["decimal"] and not _is_read_whole(field.kind, native):
        return Reading(field, "{0}", pa.string(), lambda column: _decimals(column, target))
    if base in _PLAIN.get("decimal" if decimal_of(field.kind) else field.kind, ()):
        as_text = "{0}::text" if pa.types.is_string(target) else "{0}"
        return Reading(field, as_text, target)
    raise UnreadableColumnError(
        f"the column {field.name!r} is {native} and can't be read as {field.kind}",
        hint="compare the column's type with `pytest-dpone contracts` first",
    )


_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = ("text", "character varying")
_PLAIN: dict[str, tuple[str, ...]] = {
    "bool": ("boolean",),
    "int16": _INTEGERS,
    "int32": _INTEGERS,
    "int64": _INTEGERS,
    "uint64": ("numeric", *_INTEGERS),
    "float32": ("real",),
    "float64": ("double precision",),
    "decimal": ("numeric", *_INTEGERS),
    "text": _TEXTS,
    "date": ("date",),
    "time": ("time without time zone", *_TEXTS),
    "timestamp": ("timestamp without time zone",),
    "timestamptz": ("timestamp with time zone",),
    "uuid": ("uuid", *_TEXTS),
    "json": ("jsonb", "json", *_TEXTS),
}
_ARRAYS: dict[str, tuple[str, ...]] = {
    "array<int64>": tuple(f"{name}[]" for name in _INTEGERS),
    "array<text>": tuple(f"{name}[]" for name in _TEXTS),
}


def _is_read_whole(kind: str, native: str) -> bool:
    """If Arrow's CSV reader makes decimals of such a column: it knows 128 bits only."""
    precision, scale = decimal_of(kind) or (0, 0)
    return native == f"numeric({precision},{scale})" and precision <= 38


def _decimals(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Text of a `numeric` of any size → decimals.

    Arrow's parsers may wrap around at 128 bits without an error, so that the digits are counted here.
    """
    whole, scale = max(1, target.precision - target.scale), target.scale
    fits = pc.match_substring_regex(column, rf"^-?\d{{1,{whole}}}(\.\d{{0,{scale}}}0*)?$")
    if pc.all(fits).as_py() is False:
        raise pa.ArrowInvalid(f"{column.filter(pc.invert(fits))[0].as_py()} does not fit into {target}")
    shortened = pc.replace_substring_regex(column, rf"\.(\d{{{scale}}})0+$", r".\1")
    return pc.utf8_rtrim(shortened, ".").cast(target)


def decode_rows(data: bytes, readings: Sequence[Reading]) -> pa.RecordBatch:
    """CSV rows of `COPY … TO STDOUT (FORMAT csv)` as a batch in canonical types; raises `UnreadableColumnError`.

    `data` holds whole rows and at least one.
    """
    names = [str(i) for i in range(len(readings))]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=len(data) + 1),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: r.csv_type for name, r in zip(names, readings, strict=True)},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )
        columns = [_incoming(whole(table.column(name)), r) for name, r in zip(names, readings, strict=True)]
    except pa.ArrowInvalid as error:
        listed = ", ".join(f"#{i} {r.field.name!r} as {r.field.kind}" for i, r in enumerate(readings))
        raise UnreadableColumnError(
            f"a value can't be read: {error} (columns: {listed})",
            hint="the sink holds a value that the column's kind can't express",
        ) from None
    schema = pa.schema(
        [pa.field(r.field.name, c.type, nullable=r.field.nullable) for r, c in zip(readings, columns, strict=True)]
    )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _incoming(values: pa.Array, how: Reading) -> pa.Array:
    return to_kind(how.finish(values) if how.finish else values, how.field)
