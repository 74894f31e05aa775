"""The catalogs' pure parts: CSV text, conversions, parts, sorting on disk, addresses."""

from __future__ import annotations

import datetime as dt
import io
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pytest_dpone.core.kinds import Field, TableSchema, arrow_type
from pytest_dpone.core.model import ServiceRecord
from pytest_dpone.core.wire import ServiceInfo
from pytest_dpone.errors import DponeError, ServiceFailed, UsageError
from pytest_dpone.services.catalog import open_catalog
from pytest_dpone.services.catalog.address import parse_address
from pytest_dpone.services.catalog.clickhouse import _parquet, _quote
from pytest_dpone.services.catalog.convert import UnreadableColumnError, hex_bytes, hex_text, to_kind, uuid_text
from pytest_dpone.services.catalog.minio import _prefix
from pytest_dpone.services.catalog.pgcopy import copy_statement, quoted
from pytest_dpone.services.catalog.pgtext import decode_rows, encode_rows, reading
from pytest_dpone.services.catalog.runs import SortedRuns
from pytest_dpone.services.catalog.shape import canonical, parts, require_columns


def one(values: list[object], type: pa.DataType) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, type)], names=["c"])


class TestHex:
    @given(st.lists(st.none() | st.binary(max_size=40)), st.integers(0, 3))
    def test_round_trip_also_of_a_slice(self, values: list[bytes | None], start: int) -> None:
        array = pa.array(values, pa.binary()).slice(start)
        text = hex_text(array)
        assert text.to_pylist() == [None if v is None else v.hex() for v in values[start:]]
        assert hex_bytes(text.cast(pa.string())).to_pylist() == values[start:]

    @pytest.mark.parametrize("text", ["0", "0g", "zz"])
    def test_what_is_not_hexadecimal_raises(self, text: str) -> None:
        with pytest.raises(pa.ArrowInvalid, match="hexadecimal"):
            hex_bytes(pa.array([text]))

    def test_an_odd_value_does_not_borrow_from_the_next(self) -> None:
        with pytest.raises(pa.ArrowInvalid, match="odd"):
            hex_bytes(pa.array(["0", "0"]))

    def test_uuid(self) -> None:
        values = pa.array([bytes(range(16)), None], pa.binary(16))
        assert uuid_text(values).to_pylist() == ["00010203-0405-0607-0809-0a0b0c0d0e0f", None]


class TestToKind:
    @pytest.mark.parametrize(
        ("values", "kind", "expected"),
        [
            (pa.array([1, None], pa.int16()), "int64", [1, None]),
            (pa.array([Decimal(2**64 - 1)], pa.decimal128(20, 0)), "uint64", [2**64 - 1]),
            (pa.array([1.5, None, math.inf], pa.float64()), "float32", [1.5, None, math.inf]),
            (pa.array([1, 0, None], pa.uint8()), "bool", [True, False, None]),
            (pa.array([b"\xc3\xa9", None], pa.binary()), "text", ["é", None]),
            (pa.array([b"23:59:59.999999", None]), "time", [dt.time(23, 59, 59, 999999), None]),
            (pa.array(["01:02:03.5"]), "time", [dt.time(1, 2, 3, 500000)]),
            (pa.array([Decimal("1.10")], pa.decimal128(20, 2)), "decimal(38,10)", [Decimal("1.1000000000")]),
            (pa.array([bytes(16)], pa.binary(16)), "uuid", ["00000000-0000-0000-0000-000000000000"]),
            (pa.array([["a", None]], pa.large_list(pa.large_string())), "array<text>", [["a", None]]),
            (pa.array(["NOT a uuid"]), "uuid", ["NOT a uuid"]),
            (pa.array(["a", None, "a"]).dictionary_encode(), "text", ["a", None, "a"]),
            (pa.array([1000, None], pa.time64("ns")), "time", [dt.time(0, 0, 0, 1), None]),
        ],
    )
    def test_exact(self, values: pa.Array, kind: str, expected: list[object]) -> None:
        result = to_kind(values, Field("c", kind))
        assert result.type == arrow_type(kind)
        assert result.to_pylist() == expected

    def test_nan_and_signed_zero_survive_the_narrowing(self) -> None:
        nan, zero = to_kind(pa.array([math.nan, -0.0]), Field("c", "float32")).to_pylist()
        assert math.isnan(nan)
        assert math.copysign(1, zero) == -1

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (pa.array([40000], pa.int64()), "int16"),
            (pa.array([-1], pa.int64()), "uint64"),
            (pa.array([0.1], pa.float64()), "float32"),
            (pa.array([2], pa.uint8()), "bool"),
            (pa.array([b"\xff"], pa.binary()), "text"),
            (pa.array([Decimal("0.00001")], pa.decimal128(20, 5)), "decimal(38,2)"),
            (pa.array([Decimal(10) ** 30], pa.decimal128(38, 0)), "decimal(38,10)"),
            (pa.array([1], pa.timestamp("ns")), "timestamp"),
            (pa.array([1], pa.time64("ns")), "time"),
            (pa.array([0], pa.timestamp("us")), "timestamptz"),
            (pa.array([0], pa.timestamp("us", "UTC")), "timestamp"),
            (pa.array(["24:00:00"]), "time"),
            (pa.array(["01:02:03.1234567"]), "time"),
            (pa.array(["01:02:03Z"]), "time"),
            (pa.array([b"\xff"]), "time"),
            (pa.array(["x"]), "int64"),
        ],
    )
    def test_what_would_change_raises_and_names_the_column(self, values: pa.Array, kind: str) -> None:
        with pytest.raises(UnreadableColumnError, match=r"the column 'c' is .* can't be read as"):
            to_kind(values, Field("c", kind))


class TestPostgresText:
    @pytest.mark.parametrize(
        ("values", "type", "expected"),
        [
            ([None, "", "NULL", "\\N"], pa.string(), b'\n""\n"NULL"\n"\\N"\n'),
            (['a"b', "a\nb"], pa.string(), b'"a""b"\n"a\nb"\n'),
            ([None, b"", b"\0\xff"], pa.binary(), b'\n"\\x"\n"\\x00ff"\n'),
            ([None, [], [1, None]], pa.list_(pa.int64()), b'\n"{}"\n"{1,NULL}"\n'),
            ([["", "NULL", None]], pa.list_(pa.string()), b'"{"""",""NULL"",NULL}"\n'),
            ([['a"\\']], pa.list_(pa.string()), b'"{""a\\""\\\\""}"\n'),
        ],
    )
    def test_encode(self, values: list[object], type: pa.DataType, expected: bytes) -> None:
        assert encode_rows(one(values, type)) == expected

    def test_encode_a_slice_of_lists_with_null_lists(self) -> None:
        batch = one([[9], None, [1, 2], [], [3]], pa.list_(pa.int64())).slice(1)
        assert encode_rows(batch) == b'\n"{1,2}"\n"{}"\n"{3}"\n'

    @given(
        st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1)
    )
    def test_text_round_trip(self, values: list[str | None]) -> None:
        got = decode_rows(encode_rows(one(list(values), pa.string())), [reading(Field("c", "text"), "text")])
        assert got.column(0).to_pylist() == values

    @given(st.lists(st.none() | st.floats(width=64), min_size=1))
    def test_float_round_trip_bit_for_bit(self, values: list[float | None]) -> None:
        got = decode_rows(
            encode_rows(one(list(values), pa.float64())), [reading(Field("c", "float64"), "double precision")]
        )
        assert [repr(v) for v in got.column(0).to_pylist()] == [repr(v) for v in values]

    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            (
                "decimal(38,10)",
                b"-9999999999999999999999999999.9999999999000",
                "-9999999999999999999999999999.9999999999",
            ),
            ("decimal(38,10)", b"100", "100.0000000000"),
            ("decimal(38,10)", b"0.10", "0.1000000000"),
            ("decimal(5,0)", b"100.000", "100"),
            ("decimal(3,3)", b"0.5", "0.500"),
        ],
    )
    def test_numerics_of_any_size_that_fit(self, kind: str, text: bytes, expected: str) -> None:
        got = decode_rows(text + b"\n\n", [reading(Field("c", kind), "numeric")]).column(0)
        assert got.to_pylist() == [Decimal(expected), None]
        assert str(got[0].as_py()) == expected

    def test_text_is_ordered_by_its_bytes_and_by_the_column_not_its_text(self) -> None:
        readings = [reading(Field("a", "text"), "text"), reading(Field("u", "uuid"), "uuid")]
        order = {"a": "character varying(10)", "u": "uuid", "j": "jsonb", "id": "bigint"}
        assert copy_statement(quoted("s", "t"), readings, order).as_string(None) == (
            'COPY (SELECT "a"::text, "u"::text FROM "s"."t" AS t ORDER BY t."a" COLLATE "C" NULLS LAST, '
            't."u" NULLS LAST, t."j"::text COLLATE "C" NULLS LAST, t."id" NULLS LAST) TO STDOUT (FORMAT csv)'
        )

    def test_server_side_json_becomes_lists(self) -> None:
        data = b'"[1,null,-9223372036854775808]"\n\n[]\n'
        got = decode_rows(data, [reading(Field("c", "array<int64>"), "bigint[]")])
        assert got.column(0).to_pylist() == [[1, None, -(2**63)], None, []]

    @pytest.mark.parametrize(
        ("kind", "native", "text"),
        [
            ("timestamp", "timestamp without time zone", b"infinity"),
            ("date", "date", b"0044-03-15 BC"),
            ("decimal(38,10)", "numeric", b"NaN"),
            ("decimal(38,2)", "numeric", b"1.005"),
            ("decimal(38,10)", "numeric", b"1" + b"0" * 28),
            ("decimal(38,10)", "numeric", b"1" + b"0" * 30),
            ("decimal(38,10)", "numeric", b"77971595386451875163122294654.6372"),
            ("decimal(38,10)", "numeric(60,30)", b"0." + b"0" * 10 + b"1"),
            ("decimal(3,3)", "numeric", b"1.0"),
            ("int16", "integer", b"32768"),
            ("time", "time without time zone", b"24:00:00"),
            ("array<int64>", "bigint[]", b'"[[1],[2]]"'),
        ],
    )
    def test_values_outside_of_the_kind_raise(self, kind: str, native: str, text: bytes) -> None:
        with pytest.raises(UnreadableColumnError, match="'c' as "):
            decode_rows(text + b"\n", [reading(Field("c", kind), native)])

    @pytest.mark.parametrize(
        ("kind", "native"), [("int64", "text"), ("float64", "real"), ("timestamp", "timestamp with time zone")]
    )
    def test_types_of_another_meaning_are_refused(self, kind: str, native: str) -> None:
        with pytest.raises(UnreadableColumnError) as caught:
            reading(Field("c", kind), native)
        assert caught.value.fact == f"the column 'c' is {native} and can't be read as {kind}"


class TestSortedRuns:
    @given(
        st.lists(st.tuples(st.none() | st.text("abBz\u00e9\U0001f986", max_size=3), st.integers(0, 3)), max_size=60),
        st.integers(1, 7),
        st.integers(1, 9),
        st.integers(1, 20),
    )
    def test_the_same_rows_in_bytewise_order_null_last(
        self, rows: list[tuple[str | None, int]], batch: int, run_rows: int, out: int
    ) -> None:
        table = pa.table(
            {".t": [r[0] for r in rows], "n": [r[1] for r in rows]}, pa.schema([(".t", pa.string()), ("n", pa.int64())])
        )
        with SortedRuns([".t", "n"], run_rows=run_rows) as runs:
            for piece in table.to_batches(batch):
                runs.add(piece)
            batches = list(runs.batches(out))
        got = [tuple(row.values()) for b in batches for row in b.to_pylist()]
        assert got == sorted(rows, key=lambda r: (r[0] is None, (r[0] or "").encode(), r[1]))
        assert all(0 < b.num_rows <= out for b in batches)

    def test_without_an_order_all_rows_come(self) -> None:
        with SortedRuns([], run_rows=2) as runs:
            for start in range(0, 10, 2):
                runs.add(one([start, start + 1], pa.int64()))
            assert sorted(v for b in runs.batches(3) for v in b.column(0).to_pylist()) == list(range(10))

    def test_nothing_is_left_on_disk_even_by_a_kill(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with SortedRuns(["c"], run_rows=1) as runs:
            runs.add(one([1], pa.int64()))
            (file,) = runs._runs
            assert file.tell() > 0
            assert list(tmp_path.iterdir()) == []
        assert file.closed


class TestShape:
    def test_parts_are_bounded_and_lose_nothing(self) -> None:
        def batches() -> Iterator[pa.RecordBatch]:
            for size in (3, 0, 25, 1, 1):
                yield one(list(range(size)), pa.int64())

        made = list(parts(batches(), rows=10))
        assert [p.num_rows for p in made] == [3, 10, 10, 7]
        assert sum(p.column("c").to_pylist() == [] for p in made) == 0

    def test_parts_are_cut_by_size(self) -> None:
        assert [p.num_rows for p in parts([one(["x" * 100], pa.string())] * 4, size=150)] == [2, 2]

    def test_rows_in_other_types_are_refused(self) -> None:
        schema = TableSchema((Field("c", "int64"),))
        assert canonical(one([1], pa.int64()), schema).num_rows == 1
        with pytest.raises(UsageError, match="int32"):
            canonical(one([1], pa.int32()), schema)

    def test_missing_columns_are_named(self) -> None:
        require_columns("s.t", {"a": "bigint"}, ["a"])
        with pytest.raises(UsageError) as caught:
            require_columns("s.t", {"a": "bigint"}, ["a", "b", "b"])
        assert str(caught.value) == "s.t has no column 'b'\nhint: it has 'a'"
        with pytest.raises(UsageError, match="there is no such table"):
            require_columns("s.t", {}, ["a"])


class TestNames:
    @pytest.mark.parametrize("name", ["", "a\0b", "é" * 32])
    def test_names_that_postgres_would_cut_or_refuse(self, name: str) -> None:
        with pytest.raises(UsageError, match="can't be a name in Postgres"):
            quoted(name)

    def test_quotes_are_doubled(self) -> None:
        assert quoted('a"b', "c d").as_string(None) == '"a""b"."c d"'


class TestAddress:
    def test_parts_are_decoded(self) -> None:
        address = parse_address("s3://us%40er:p%2Fw@[::1]:9000/bucket?region=eu-1", schemes=("s3", "s3s"))
        assert (address.user, address.password, address.host, address.port) == ("us@er", "p/w", "::1", 9000)
        assert address.options == {"region": "eu-1"}
        assert address.http == "http"
        assert "p/w" not in repr(address)

    def test_tls(self) -> None:
        assert parse_address("clickhouses://h", schemes=("clickhouse", "clickhouses")).http == "https"

    def test_a_wrong_scheme_is_told_without_the_password(self) -> None:
        with pytest.raises(UsageError) as caught:
            parse_address("mysql://user:canary@host/db", schemes=("s3",))
        assert "canary" not in str(caught.value)
        assert "mysql://host/db" in str(caught.value)


class TestBrokenAnswers:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"PAR1 rows Code: 395. DB::Exception: boom (E)", "Code: 395. DB::Exception: boom (E)"),
            (b"PAR1 rows", "Parquet magic bytes not found"),
        ],
    )
    def test_the_error_of_a_query_that_failed_halfway_is_told(self, content: bytes, said: str) -> None:
        with pytest.raises(ServiceFailed) as caught:
            _parquet(io.BytesIO(content))
        assert caught.value.fact.startswith(f"ClickHouse's answer broke off after {len(content)} bytes: ")
        assert said in caught.value.fact

    def test_quotes_and_backslashes_in_names(self) -> None:
        assert _quote("a`b", "c\\d") == "`a``b`.`c\\\\d`"
        with pytest.raises(UsageError, match="can't be a name in ClickHouse"):
            _quote("")

    @pytest.mark.parametrize("name", ["", "/a", "a/", "a\0"])
    def test_prefixes_that_would_reach_further_are_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match="can't be a name in S3"):
            _prefix(name)


def test_an_unknown_service_has_no_catalog() -> None:
    record = ServiceRecord(name="schema_registry", provider="external", product="", version="", fidelity="real")
    with pytest.raises(DponeError) as caught:
        open_catalog(ServiceInfo(record=record, url=SecretStr("http://h")), bucket="b")
    assert "there is no catalog for the service 'schema_registry'" in str(caught.value)
