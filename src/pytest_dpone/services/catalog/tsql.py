"""Arrow rows ↔ the text of T-SQL statements and answers; exact, one value after the other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...core.contracts import default_contracts
from ...core.kinds import Field, arrow_type, decimal_of
from ...core.own import is_own
from ...errors import UsageError, ValueRejected
from .convert import UnreadableColumnError, lists_of_json, to_kind

_ROWS = 100
"""Rows of one INSERT; SQL Server takes 1000 at most, and compiles a shorter text faster."""
_CHARACTERS = 1 << 20
_BREAKS = re.compile(r"\0|\\(?=\r?\n)")
_SIZED = ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary")
_SCALED = ("time", "datetime2", "datetimeoffset")


def quoted(*names: str) -> str:
    """`names` as one name: schema and table, for example. Raises `UsageError` for one that can't be a name."""
    for name in names:
        if not name or "\0" in name or len(name) > 128:
            raise UsageError(f"{name!r} can't be a name in SQL Server", hint="names have 1 to 128 characters, no NUL")
    return ".".join(f"[{name.replace(']', ']]')}]" for name in names)


def literal(text: str) -> str:
    """`text` as an expression for the Unicode string that it is.

    A backslash at a line's end would join the lines, and a NUL may end a statement: the text is cut there. Short pieces
    would make a text of 4000 characters at most, and lose the rest without a word: what they join has no such end.
    """
    parts: list[str] = []
    start = 0
    for found in _BREAKS.finditer(text):
        if found[0] == "\0":
            parts += [_quote(text[start : found.start()]), "NCHAR(0)"]
        else:
            parts.append(_quote(text[start : found.end()]))
        start = found.end()
    if not parts:
        return _quote(text)
    return " + ".join(["CAST(N'' AS nvarchar(max))", *parts, _quote(text[start:])])


def _quote(text: str) -> str:
    return "N'" + text.replace("'", "''") + "'"


def column_type(field: Field, key: Sequence[str]) -> str:
    """The type of a source table's column; text in a key has a length, since an index needs one."""
    native = default_contracts().column_type("mssql", field)
    if field.name not in key or not native.endswith("(max)"):
        return native
    return native.replace("max", "450" if field.kind == "text" else "900")


def spelled(name: str, length: int, precision: int, scale: int) -> str:
    """A type of `sys.columns` as the contracts spell it."""
    if name in _SIZED:
        characters = length // 2 if name[0] == "n" and length > 0 else length
        return f"{name}({characters if characters >= 0 else 'max'})"
    if name in ("decimal", "numeric"):
        return f"decimal({precision},{scale})"
    return f"{name}({scale})" if name in _SCALED else name


def inserts(table: str, rows: pa.Table, natives: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Statements that insert `rows` into the quoted `table`, whose columns have the types `natives`, and their rows."""
    names = ", ".join(quoted(name) for name in rows.column_names)
    head = f"INSERT INTO {table} ({names}) VALUES "  # noqa: S608 - every name is quoted
    columns = [_expressions(column, native) for column, native in zip(rows.columns, natives, strict=True)]
    held: list[str] = []
    size = 0
    for row in zip(*columns, strict=True):
        held.append(f"({', '.join(row)})")
        size += len(held[-1])
        if len(held) == _ROWS or size >= _CHARACTERS:
            yield head + ", ".join(held), len(held)
            held, size = [], 0
    if held:
        yield head + ", ".join(held), len(held)


def _expressions(column: pa.ChunkedArray, native: str) -> list[str]:
    """Each value with a cast of its own: without, the server would choose one type for all values of a column."""
    own = pa.types.is_string(column.type)  # is as the server reads it
    text = str if own else _TEXTS.get(native.partition("(")[0], str)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    return [f"CAST(NULL AS {native})" if value is None else _cast(text(value), native) for value in column.to_pylist()]


def _cast(text: str, native: str) -> str:
    if native.startswith("varbinary"):
        return f"CAST({text} AS {native})"
    if text == "-0.0":
        return f"CAST(0 AS {native}) * CAST(-1 AS {native})"  # whatever a text's sign would become
    return f"CAST({literal(text)} AS {native})"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueRejected(f"SQL Server has no {value}", hint="leave such values out for this source")
    return f"{value:.16e}" if value else str(value)


_TEXTS: dict[str, Callable[[Any], str]] = {
    "bit": lambda value: str(int(value)),
    "float": _number,
    "real": _number,
    "decimal": lambda value: f"{value:f}",
    "varbinary": lambda value: f"0x{value.hex()}",
    "datetimeoffset": lambda value: f"{value} +00:00",
    # the one form that these read alike under every language of a session, and without digits that they lack
    **dict.fromkeys(("smalldatetime", "datetime"), lambda value: f"{value[:10]}T{value[11:19]}"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How one column is read: an SQL expression over the quoted name, and what is made of what the driver gives."""

    field: Field
    sql: str
    finish: Callable[[list[Any], pa.DataType], pa.Array]


def reading(field: Field, native: str) -> Reading:
    """How a column of the type `native` is read as `field`; raises `UnreadableColumnError` if it can't be."""
    plain = native.partition("(")[0]
    name = quoted(field.name)
    if is_own(field.kind) and (form := _OWN.get(plain)):
        return Reading(field, f"N'|' + {form.format(name)} + N'|'", _between_bars)
    for natives, kinds, expression, finish in _READINGS:
        if plain in natives and ("decimal" if decimal_of(field.kind) else field.kind) in kinds:
            return Reading(field, expression.format(name), finish)
    raise UnreadableColumnError(
        f"the column {field.name!r} is {native} and can't be read as {field.kind}",
        hint="compare the column's type with `pytest-dpone contracts` first",
    )


def decoded(rows: Sequence[Sequence[Any]], readings: Sequence[Reading]) -> pa.RecordBatch:
    """Rows of an answer as a batch in canonical types; raises `UnreadableColumnError`."""
    columns = []
    for values, how in zip(zip(*rows, strict=True), readings, strict=True):
        try:
            columns.append(to_kind(how.finish(list(values), arrow_type(how.field.kind)), how.field))
        except pa.ArrowInvalid as error:
            raise UnreadableColumnError(
                f"a value of the column {how.field.name!r} can't be read as {how.field.kind}: {error}",
                hint="the sink holds a value that the column's kind can't express",
            ) from None
    return pa.RecordBatch.from_arrays(columns, names=[how.field.name for how in readings])


def _typed(values: list[Any], target: pa.DataType) -> pa.Array:
    return pa.array(values, target)


def _real(values: list[Any], target: pa.DataType) -> pa.Array:
    return pa.array(values, pa.float64()).cast(target, safe=False)


def _between_bars(values: list[Any], target: pa.DataType) -> pa.Array:
    """Texts come between bars, so that a driver can take nothing off their ends and an empty one is not NULL."""
    for value in values:
        if value is not None and (len(value) < 2 or (value[0], value[-1]) != ("|", "|")):
            raise pa.ArrowInvalid(f"{value!r} has come without its bars")
    return pa.array([None if value is None else value[1:-1] for value in values], target)


def _json_lists(values: list[Any], target: pa.DataType) -> pa.Array:
    return lists_of_json(_between_bars(values, pa.string()), target)


def _moments(values: list[Any], target: pa.DataType) -> pa.Array:
    """Texts of dates and times. Zeros behind the sixth digit go; another digit there makes the cast fail."""
    texts = pc.replace_substring_regex(pa.array(values, pa.string()), r"(\.\d{6})0+$", r"\1")
    if not pa.types.is_time(target):
        return (texts.cast(pa.timestamp("us")) if pa.types.is_timestamp(target) else texts).cast(target)
    days = pc.binary_join_element_wise("1970-01-01", texts, " ")
    return days.cast(pa.timestamp("us")).cast(target)


def _digits(values: list[Any], target: pa.DataType) -> pa.Array:
    texts = pa.array(values, pa.string())
    return texts.cast(pa.decimal128(38, target.scale)).cast(target)


_NUMBERS = ("bit", "tinyint", "smallint", "int", "bigint")
_STRINGS = ("nvarchar", "nchar", "varchar", "char")
_BARS = "N'|' + CAST({0} AS nvarchar(max)) + N'|'"
_OWN = {
    **dict.fromkeys(("money", "smallmoney"), "CONVERT(nvarchar(30), {0}, 2)"),
    **dict.fromkeys(("datetime2", "datetimeoffset", "time"), "CONVERT(nvarchar(40), {0}, 121)"),
    **dict.fromkeys(("hierarchyid", "geometry", "geography"), "{0}.ToString()"),
    **dict.fromkeys((*_STRINGS, "sql_variant"), "CAST({0} AS nvarchar(4000))"),
    **dict.fromkeys(("nvarchar", "xml"), "CAST({0} AS nvarchar(max))"),
}
"""Types of columns → the text of their values, as `core.own` has it."""
_READINGS: tuple[tuple[tuple[str, ...], tuple[str, ...], str, Callable[[list[Any], pa.DataType], pa.Array]], ...] = (
    (("bit",), ("bool",), "{0}", _typed),
    (_NUMBERS[1:], ("int16", "int32", "int64", "uint64"), "{0}", _typed),
    (("decimal", "numeric", *_NUMBERS[1:]), ("decimal",), "CAST({0} AS varchar(41))", _digits),
    (
        ("decimal", "numeric"),
        ("uint64",),
        "CAST({0} AS varchar(41))",
        lambda values, _: pa.array([None if value is None else int(value) for value in values], pa.uint64()),
    ),
    (("real",), ("float32",), "{0}", _real),
    (("float",), ("float32", "float64"), "{0}", lambda values, _: pa.array(values, pa.float64())),
    (_STRINGS, ("text", "json", "uuid", "time"), _BARS, _between_bars),
    (_STRINGS, ("array<int64>", "array<text>"), _BARS, _json_lists),
    (("varbinary", "binary"), ("binary",), "{0}", _typed),
    (("date",), ("date",), "CONVERT(varchar(10), {0}, 23)", _moments),
    (("time",), ("time",), "CONVERT(varchar(16), {0}, 121)", _moments),
    (("datetime2",), ("timestamp",), "CONVERT(varchar(27), {0}, 121)", _moments),
    (("smalldatetime", "datetime"), ("timestamp",), "CONVERT(varchar(27), CAST({0} AS datetime2(3)), 121)", _moments),
    (
        ("datetimeoffset",),
        ("timestamptz",),
        "CONVERT(varchar(27), CAST(SWITCHOFFSET({0}, '+00:00') AS datetime2(7)), 121)",
        _moments,
    ),
    (("uniqueidentifier",), ("uuid",), "LOWER(CAST({0} AS char(36)))", _typed),
)
"""Types of columns, kinds as which they are read, what is asked for, and what is made of the answer."""
