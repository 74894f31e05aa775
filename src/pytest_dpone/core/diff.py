"""Two sorted streams of rows compared row by row, with bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from .kinds import Field, arrow_type
from .model import DiffReport, RowDifference

MAX_SAMPLES = 5
MAX_COLUMNS_SHOWN = 8
MAX_VALUE_SHOWN = 120


def compare(
    expected: Iterator[pa.RecordBatch],
    actual: Iterator[pa.RecordBatch],
    *,
    fields: Sequence[Field],
    identity: Sequence[str],
    order: Sequence[str] = (),
) -> DiffReport:
    """Compare two streams that are sorted by `order` (ascending, NULL last) and have the columns of `fields`.

    `order` are the columns of `identity`, if no others are given. Rows of one range of `order` are matched by
    `identity`, which is unique in `expected` and by which they are named; a match that occurs again in `actual` is
    `duplicated`. NaN equals NaN, 0.0 differs from -0.0, JSON is compared as values. Memory is bounded by the batches
    of both streams, as long as `actual` has the expected keys. Raises ValueError when `actual` is not sorted: then a
    range could be compared with the wrong rows.
    """
    tally = _Tally(tuple(fields), tuple(identity))
    rest = _Rest(actual, tally.schema, tuple(order or identity))
    for batch in expected:
        if batch.num_rows:
            tally.range(_plain(batch, tally.schema), rest.up_to(batch))
    for surplus in rest.remaining():
        tally.range(surplus.slice(0, 0), surplus)
    return tally.report()


def canonical_json(text: str) -> str:
    """One spelling per JSON value: sorted keys, exact numbers, no space. Raises ValueError for what is not JSON."""
    value = json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_no_constant)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> str:
    """A number as a marked string: exact whatever its size, the same for 1, 1.0 and 1e0."""
    sign, digits, exponent = Decimal(text).as_tuple()
    number = "".join(map(str, digits)).lstrip("0")
    short = number.rstrip("0")
    if not short:
        return "\0" + "0"
    return f"\0{'-' if sign else ''}{short}e{int(exponent) + len(number) - len(short)}"


@dataclass
class _Rest:
    """The part of the actual stream that has not been compared yet."""

    stream: Iterator[pa.RecordBatch]
    schema: pa.Schema
    order: tuple[str, ...]
    held: list[pa.RecordBatch] = field(default_factory=list)
    last: tuple[object, ...] | None = None

    def up_to(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """All rows up to the place of the last row of `batch`."""
        bound = [batch.column(name)[-1] for name in self.order]
        taken: list[pa.RecordBatch] = []
        while self.held or self._pull():
            head = self.held.pop(0)
            count = pc.sum(_at_most(head, self.order, bound)).as_py() or 0
            taken.append(head.slice(0, count))
            if count < head.num_rows:
                self.held.insert(0, head.slice(count))
                break
        return _joined(taken, self.schema)

    def remaining(self) -> Iterator[pa.RecordBatch]:
        """All rows that are left."""
        while self.held or self._pull():
            yield self.held.pop(0)

    def _pull(self) -> bool:
        for batch in self.stream:
            if batch.num_rows:
                plain = _plain(batch, self.schema)
                self._check_order(plain)
                self.held.append(plain)
                return True
        return False

    def _check_order(self, batch: pa.RecordBatch) -> None:
        ordered = _ordered(batch, self.order)
        first = tuple(batch.column(name)[0].as_py() for name in self.order)
        if not ordered or (self.last is not None and _rank(first) < _rank(self.last)):
            raise ValueError(f"the rows that were read back are not sorted by {', '.join(self.order)}")
        self.last = tuple(batch.column(name)[-1].as_py() for name in self.order)


def _rank(values: tuple[object, ...]) -> tuple[tuple[bool, object], ...]:
    """Sorts NULL last; text by its UTF-8 bytes, as the services do."""
    return tuple((v is None, v.encode() if isinstance(v, str) else (0 if v is None else v)) for v in values)


def _ordered(batch: pa.RecordBatch, order: tuple[str, ...]) -> bool:
    """If the rows of one batch ascend by `order`."""
    if batch.num_rows < 2:
        return True
    below, above = batch.slice(0, batch.num_rows - 1), batch.slice(1)
    strictly, equal = pa.scalar(False), pa.scalar(True)
    for name in order:
        low, high = below.column(name), above.column(name)
        # NULL ranks last: a value before a NULL rises, a NULL before a value falls.
        less = pc.or_(pc.fill_null(pc.less(low, high), False), pc.and_(pc.is_valid(low), pc.is_null(high)))
        same = pc.or_(pc.fill_null(pc.equal(low, high), False), pc.and_(pc.is_null(low), pc.is_null(high)))
        strictly, equal = pc.or_(strictly, pc.and_(equal, less)), pc.and_(equal, same)
    return bool(pc.all(pc.or_(strictly, equal)).as_py())


def _at_most(batch: pa.RecordBatch, order: tuple[str, ...], bound: list[pa.Scalar]) -> pa.Array:
    """Per row: its place is ≤ `bound`, compared column by column; NULL is greater than anything."""
    result = None
    for name, limit in reversed(list(zip(order, bound, strict=True))):
        column = batch.column(name)
        less = pc.fill_null(pc.less(column, limit), False)
        same = pc.fill_null(pc.equal(column, limit), False)
        result = pc.or_(less, same if result is None else pc.and_(same, result))
    return result


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same columns without any difference in nullability or metadata."""
    return pa.record_batch([batch.column(name) for name in schema.names], schema=schema)


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=schema)


class _Tally:
    """Counts what differs, range of keys by range of keys."""

    def __init__(self, fields: tuple[Field, ...], identity: tuple[str, ...]) -> None:
        self.fields, self.identity = fields, identity
        self.schema = pa.schema([pa.field(f.name, arrow_type(f.kind)) for f in fields])
        self.rows = Counter[str]()
        self.columns = Counter[str]()
        self.samples: list[RowDifference] = []

    def range(self, expected: pa.RecordBatch, actual: pa.RecordBatch) -> None:
        """Compare all rows of one range of keys."""
        self.rows["expected"] += expected.num_rows
        self.rows["actual"] += actual.num_rows
        if expected.num_rows == actual.num_rows and self._same(expected, actual):
            return
        self._classify(expected, actual)

    def report(self) -> DiffReport:
        """The counts so far."""
        return DiffReport(
            expected_rows=self.rows["expected"],
            actual_rows=self.rows["actual"],
            missing=self.rows["missing"],
            extra=self.rows["extra"],
            changed=self.rows["changed"],
            duplicated=self.rows["duplicated"],
            columns=dict(self.columns.most_common()),
            samples=tuple(self.samples),
        )

    def _same(self, expected: pa.RecordBatch, actual: pa.RecordBatch) -> bool:
        return all(_equal(expected.column(f.name), actual.column(f.name), f.kind) for f in self.fields)

    def _classify(self, expected: pa.RecordBatch, actual: pa.RecordBatch) -> None:
        names, found = _names(expected, actual, self.identity)
        positions = pc.index_in(found, names)
        first = pc.equal(pc.index_in(found, found), _counting(len(found)))
        matched = pc.is_valid(positions)
        self._rows_of("missing", expected.filter(pc.invert(pc.is_in(names, found))))
        self._rows_of("extra", actual.filter(pc.invert(matched)))
        self._rows_of("duplicated", actual.filter(pc.and_(matched, pc.invert(first))))
        both = pc.and_(matched, first)
        self._changed(expected.take(positions.filter(both)), actual.filter(both))

    def _rows_of(self, kind: str, rows: pa.RecordBatch) -> None:
        self.rows[kind] += rows.num_rows
        for row in range(min(rows.num_rows, self._room(kind))):
            self.samples.append(RowDifference.model_validate({"kind": kind, "key": self._key(rows, row)}))

    def _changed(self, expected: pa.RecordBatch, actual: pa.RecordBatch) -> None:
        differs = {f.name: _differs(expected.column(f.name), actual.column(f.name), f.kind) for f in self.fields}
        differs = {name: mask for name, mask in differs.items() if pc.any(mask).as_py()}
        if not differs:
            return
        for name, mask in differs.items():
            self.columns[name] += pc.sum(mask).as_py()
        masks = iter(differs.values())
        any_column = next(masks)
        for mask in masks:
            any_column = pc.or_(any_column, mask)
        rows = pc.indices_nonzero(any_column)
        self.rows["changed"] += len(rows)
        for row in rows.slice(0, self._room("changed")).to_pylist():
            self.samples.append(self._sample(expected, actual, row, [n for n, m in differs.items() if m[row].as_py()]))

    def _sample(self, expected: pa.RecordBatch, actual: pa.RecordBatch, row: int, names: list[str]) -> RowDifference:
        kinds = {f.name: f.kind for f in self.fields}
        columns = {
            visible(name): (
                show(expected.column(name)[row].as_py(), kinds[name]),
                show(actual.column(name)[row].as_py(), kinds[name]),
            )
            for name in names[:MAX_COLUMNS_SHOWN]
        }
        return RowDifference(kind="changed", key=self._key(expected, row), columns=columns)

    def _key(self, rows: pa.RecordBatch, row: int) -> dict[str, str]:
        return {name: brief(rows.column(name)[row].as_py()) for name in self.identity}

    def _room(self, kind: str) -> int:
        return MAX_SAMPLES - sum(sample.kind == kind for sample in self.samples)


def brief(value: object) -> str:
    """A value of a key for people, bounded in length. Texts are in quotes, so that spaces at their ends are seen."""
    text = visible(str(value)[: MAX_VALUE_SHOWN + 1])
    text = f"{text[:MAX_VALUE_SHOWN]}…" if len(text) > MAX_VALUE_SHOWN else text
    return f"'{text}'" if isinstance(value, str) else text


def show(value: object, kind: str) -> str:
    """A value with its kind, for people: NULL apart from 'NULL', control characters visible, bounded in length."""
    if value is None:
        return f"NULL ({kind})"
    text = value.hex() if isinstance(value, bytes) else str(value)
    quoted = visible(text[: MAX_VALUE_SHOWN + 1])
    if len(text) > MAX_VALUE_SHOWN:
        quoted = f"{visible(text[:MAX_VALUE_SHOWN])}… {len(text)} characters"
    return f"{quoted!s} ({kind})" if not isinstance(value, str) else f"'{quoted}' ({kind})"


def visible(text: str) -> str:
    """`text` with everything that a terminal would not print as itself escaped, e.g. a tab as `\\t`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _names(expected: pa.RecordBatch, actual: pa.RecordBatch, identity: tuple[str, ...]) -> tuple[pa.Array, pa.Array]:
    """One value per row that stands for its identity, for both sides alike; NULL has a name of its own."""
    only = identity[0]
    if len(identity) == 1 and not expected.column(only).null_count and not actual.column(only).null_count:
        return expected.column(only), actual.column(only)
    left, right = (
        pc.binary_join_element_wise(*[_spelled(side.column(name)) for name in identity], "\x1f")
        for side in (expected, actual)
    )
    return left, right


def _spelled(values: pa.Array) -> pa.Array:
    text = values if pa.types.is_string(values.type) else pc.cast(values, pa.string())
    escaped = pc.replace_substring(pc.replace_substring(text, "\x1e", "\x1e0"), "\x1f", "\x1e1")
    return pc.fill_null(escaped, "\x1eN")


def _counting(count: int) -> pa.Array:
    return pa.array(range(count), pa.int32())


def _equal(expected: pa.Array, actual: pa.Array, kind: str) -> bool:
    """If two columns hold the same values in the same order."""
    left, right = _bits(expected, kind), _bits(actual, kind)
    if left.equals(right):
        return True
    return kind == "json" and not pc.any(_differs(left, right, kind)).as_py()


def _differs(expected: pa.Array, actual: pa.Array, kind: str) -> pa.Array:
    """Per row: the values differ, where NULL equals NULL only."""
    left, right = _bits(expected, kind), _bits(actual, kind)
    if pa.types.is_list(left.type):
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return pa.array([a != b for a, b in pairs], pa.bool_())
    unequal = pc.fill_null(pc.not_equal(left, right), False)
    if kind == "json":
        unequal = _json_differs(left, right, unequal)
    return pc.or_(unequal, pc.xor(pc.is_null(left), pc.is_null(right)))


def _bits(values: pa.Array, kind: str) -> pa.Array:
    """The values in a form in which equal means the same value: floats as bits with one NaN."""
    if kind not in ("float32", "float64"):
        return values
    one_nan = pc.if_else(pc.is_nan(values), pa.scalar(float("nan"), values.type), values)
    return one_nan.view(pa.int32() if kind == "float32" else pa.int64())


def _json_differs(expected: pa.Array, actual: pa.Array, unequal: pa.Array) -> pa.Array:
    """Of the rows whose texts differ, those whose JSON values differ too: parsing is slow, and seldom needed."""
    pairs = zip(expected.filter(unequal).to_pylist(), actual.filter(unequal).to_pylist(), strict=True)
    verdicts = pa.array([_json_or_text(a) != _json_or_text(b) for a, b in pairs], pa.bool_())
    return pc.replace_with_mask(unequal, unequal, verdicts)


def _json_or_text(text: str) -> str:
    try:
        return canonical_json(text)
    except ValueError:
        return f"\0not JSON: {text}"
