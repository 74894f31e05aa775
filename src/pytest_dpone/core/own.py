"""Types of a family's own: what a column of such a type is called, and the texts that its server prints of its values.

The texts are those of pinned settings: of Postgres by a type's output function with DateStyle ISO, IntervalStyle
postgres, TimeZone UTC, lc_monetary C and extra_float_digits 1; of ClickHouse by toString; of SQL Server by CONVERT with
style 2 of money and 121 of moments, by ToString of the types of .NET, and else by CAST. A nested column of Parquet
has no server: it is JSON, without white space, a map as an object; and so is one of Avro, but for the symbol of an
enum, the Base64 of fixed bytes, and a duration as in ISO 8601.
"""

# ruff: noqa: S104 - addresses are values of columns here

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from .own_avro import AVRO

OTHER = "*:*"
"""Stands in a contract for the kinds of the types of all other families' own."""


@dataclass(frozen=True, slots=True)
class OwnType:
    """A type of `family`; its kind is `family:name`.

    `{n}` in `native` stands for the table's namespace. In `plain`, the ordinary value, `<3-9>` stands for a number
    that is drawn between the two, both included. `edges` are the edge values.
    """

    family: str
    name: str
    native: str
    plain: str
    edges: tuple[str, ...] = ()
    nullable: bool = True

    @property
    def kind(self) -> str:
        """The kind of such a column."""
        return f"{self.family}:{self.name}"


def is_own(kind: str) -> bool:
    """If `kind` is a type of a family's own."""
    return ":" in kind


POSTGRES_TYPES = MappingProxyType(
    {
        "mood": "TYPE {n}.mood AS ENUM ('mood 1', 'mood 2', 'mood 3', ' ', 'it''s', 'ünï\\')",
        "positive": "DOMAIN {n}.positive AS integer CHECK (VALUE >= 0)",
        "pair": "TYPE {n}.pair AS (number integer, word text)",
    }
)
"""The types that a namespace of Postgres needs before its tables: name → what follows CREATE, with `{n}` quoted."""

_TSTZ = "timestamp({}) with time zone"
_POSTGRES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "numeric",
        "numeric",
        "<1-999>.<10-99>0",
        (
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "0.000",
            "-0.50",
            "1" + "0" * 100,
            f"-{'123456789' * 9}.{'987654321' * 9}",
        ),
    ),
    (
        "money",
        "money",
        "$<1-9>,<100-999>.<10-99>",
        ("$0.00", "$0.01", "-$1.10", "$92,233,720,368,547,758.07", "-$92,233,720,368,547,758.08"),
    ),
    (
        "timetz",
        "time with time zone",
        "<10-23>:<10-59>:<10-59>+0<1-9>",
        ("00:00:00+00", "24:00:00-05", "23:59:59.999999+05:30", "12:00:00-15:59:59"),
    ),
    (
        "interval",
        "interval",
        "<2-99> days <10-23>:<10-59>:<10-59>",
        (
            "00:00:00",
            "1 day",
            "1 year 2 mons",
            "-1 years -2 mons +3 days -04:05:06",
            "178000000 years",
            "100:00:00",
            "-00:00:00.000001",
        ),
    ),
    ("int4range", "int4range", "[<1-9>,<10-99>)", ("empty", "(,)", "(,5)", "[5,)", "[-2147483648,2147483647)")),
    ("int8range", "int8range", "[<1-9>,<10-99>)", ("empty", "[-9223372036854775808,9223372036854775807)")),
    ("numrange", "numrange", "[<1-9>.50,<10-99>.25]", ("empty", "(,)", "(1.0,2.00]")),
    (
        "daterange",
        "daterange",
        "[2024-01-<10-28>,2025-01-01)",
        ("empty", "(,)", "[-infinity,infinity)", "[0001-01-01,9999-12-31)"),
    ),
    ("tsrange", "tsrange", '["2024-01-<10-28> 00:00:00","2025-01-01 12:00:00.000001"]', ("empty", "(,)")),
    ("tstzrange", "tstzrange", '["2024-01-<10-28> 00:00:00+00","2025-01-01 12:00:00+00")', ("empty", "(,infinity]")),
    ("int4multirange", "int4multirange", "{[1,<3-9>),[<20-29>,<30-99>)}", ("{}", "{(,)}")),
    (
        "inet",
        "inet",
        "10.<0-255>.<0-255>.<1-254>",
        ("0.0.0.0", "255.255.255.255", "10.1.2.3/8", "::1", "::ffff:10.1.2.3", "2001:db8::/32"),
    ),
    ("cidr", "cidr", "10.<0-255>.<0-255>.0/24", ("0.0.0.0/0", "::/0", "2001:db8::/32", "10.1.2.3/32")),
    ("macaddr", "macaddr", "08:00:2b:<10-99>:<10-99>:<10-99>", ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")),
    ("macaddr8", "macaddr8", "08:00:2b:ff:fe:<10-99>:<10-99>:<10-99>", ("00:00:00:00:00:00:00:00",)),
    ("bit", "bit(8)", "<0-1>0<0-1>1<0-1>011", ("00000000", "11111111")),
    ("varbit", "bit varying(16)", "<0-1>0<0-1>1<0-1>011", ("", "0", "1111111111111111")),
    ("tsvector", "tsvector", "'fat':<1-9> 'rat':<10-99>A", ("", "'a b' 'it''s':1", "'ü':1,2B")),
    ("tsquery", "tsquery", "'fat' & 'r<1-99>'", ("", "'a' | !'b'", "'super':*A")),
    ("enum", "{n}.mood", "mood <1-3>", (" ", "it's", "ünï\\")),
    ("domain", "{n}.positive", "<1-99999>", ("0", "2147483647")),
    ("composite", "{n}.pair", "(<1-999>,word)", ("(,)", '(-1,"")', '(1,"a,b")', '(2,"say ""hi""")', '(3,"a\\\\b")')),
    ("point", "point", "(<1-99>,<1-99>.5)", ("(0,0)", "(-0,1e+300)", "(NaN,-Infinity)")),
    ("line", "line", "{1,-1,<1-99>}", ("{0,1,0}",)),
    ("lseg", "lseg", "[(1,2),(<3-9>,4)]", ("[(0,0),(0,0)]",)),
    ("box", "box", "(<10-99>,20),(1,2)", ("(0,0),(0,0)",)),
    ("path", "path", "((1,2),(<3-9>,4))", ("[(0,0),(1,1)]", "((0,0))")),
    ("polygon", "polygon", "((0,0),(1,<1-9>),(2,0))", ("((0,0))",)),
    ("circle", "circle", "<(1,2),<3-9>>", ("<(0,0),0>",)),
    ("uuid array", "uuid[]", "{<10-99>0e8400-e29b-41d4-a716-446655440000,NULL}", ("{}", "{NULL}")),
    ("numeric array", "numeric[]", "{<1-9>.<10-99>,NULL}", ("{}", "{{1,2},{3,4.0}}", "[0:1]={1,2}", "{NaN}")),
    ("bool array", "boolean[]", "{t,f,NULL}", ("{}", "{{t},{f}}")),
    ("timestamptz array", "timestamp with time zone[]", '{"2024-01-<10-28> 10:11:12+00"}', ("{}", "{infinity,NULL}")),
    ("inet array", "inet[]", "{10.0.0.<1-254>,::1}", ("{}",)),
    ("jsonb array", "jsonb[]", r'{"{\"a\": <1-99>}"}', ("{}", r'{"\"NULL\"",NULL,"null"}')),
    ("enum array", "{n}.mood[]", '{"mood <1-3>",NULL}', ("{}", '{" "}', "{it's}")),
    ("jsonpath", "jsonpath", '$."k<1-99>"', ('$."a"[*]', 'strict $."b"')),
    ("pg_lsn", "pg_lsn", "16/B37<1000-9999>", ("0/0", "FFFFFFFF/FFFFFFFF")),
    ("oid", "oid", "<1-99999>", ("0", "4294967295")),
    ("name", "name", "n<1-99999>", ("", "a b", "имя")),
    ("char", "character(12)", "abcdefgh<1000-9999>", (" " * 12, "a" + " " * 11)),
    (
        "timestamp 3",
        "timestamp(3) without time zone",
        "2024-01-<10-28> 10:11:<10-59>.<101-109>",
        ("infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999"),
    ),
    (
        "timestamptz 0",
        _TSTZ.format(0),
        "2024-01-<10-28> 10:11:<10-59>+00",
        ("infinity", "-infinity", "0001-01-01 00:00:00+00 BC"),
    ),
    ("time 3", "time(3) without time zone", "<10-23>:11:<10-59>.<101-109>", ("00:00:00", "24:00:00")),
    ("xid8", "xid8", "<1-999999>", ("0", "18446744073709551615")),
    ("pg_snapshot", "pg_snapshot", "10:<20-29>:10,14,15", ("1:1:",)),
)

_CLICKHOUSE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("FixedString", "FixedString(8)", "abcd<1000-9999>", ("        ", "ü:ü:ü")),
    ("LowCardinality(FixedString)", "LowCardinality(FixedString(4))", "<1000-1009>", ("    ", "NULL")),
    ("Enum8", "Enum8('c1' = 1, 'c2' = 2, 'c3' = 3, '' = -128, 'ü' = 127)", "c<1-3>", ("", "ü")),
    ("Enum16", "Enum16('c1' = 1, 'c2' = 2, 'c3' = 3, ' ' = -32768, 'NULL' = 32767)", "c<1-3>", (" ", "NULL")),
    ("Map", "Map(String, Int64)", "{'a':<1-99>,'b':-<1-9>}", ("{}", "{'':0}", "{'NULL':-9223372036854775808}")),
    ("Tuple", "Tuple(a Int32, b String)", "(<1-99>,'x')", ("(0,'')", "(-1,'it\\'s')", "(1,'a\\nb')")),
    ("Tuple of Nullable", "Tuple(Int32, Nullable(String))", "(<1-99>,'x')", ("(0,NULL)", "(0,'NULL')")),
    ("Tuple of nested", "Tuple(Array(Int32), Tuple(String, Float64))", "([1,<1-99>],('x',1.5))", ("([],('',-0.5))",)),
    ("Nested", "Nested(a Int32, b String)", "[(<1-9>,'x'),(2,'')]", ("[]",)),
    ("IPv4", "IPv4", "10.<0-255>.<0-255>.<1-254>", ("0.0.0.0", "255.255.255.255")),
    ("IPv6", "IPv6", "2001:db8::<1-9>", ("::", "::ffff:10.0.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
    ("Int128", "Int128", "<1-99999>", (str(2**127 - 1), str(-(2**127)), "0")),
    ("Int256", "Int256", "<1-99999>", (str(2**255 - 1), str(-(2**255)), "0")),
    ("UInt128", "UInt128", "<1-99999>", (str(2**128 - 1), "0")),
    ("UInt256", "UInt256", "<1-99999>", (str(2**256 - 1), "0")),
    (
        "DateTime64(9) in a zone",
        "DateTime64(9, 'Europe/Berlin')",
        "2024-01-<10-28> 10:11:12.<123456001-123456789>",
        ("2021-03-28 01:59:59.999999999", "2021-03-28 03:00:00.000000000", "2021-10-31 02:30:00.000000000"),
    ),
    (
        "DateTime64(9)",
        "DateTime64(9, 'UTC')",
        "2024-01-<10-28> 10:11:12.<123456001-123456789>",
        ("1970-01-01 00:00:00.000000001", "2262-04-11 23:47:16.854775807"),
    ),
    ("Array(Array)", "Array(Array(Int32))", "[[<1-9>,2],[3]]", ("[]", "[[]]", "[[-2147483648],[]]")),
    ("Array(UUID)", "Array(UUID)", "['<10-99>0e8400-e29b-41d4-a716-446655440000']", ("[]",)),
    ("Array(IPv4)", "Array(IPv4)", "['10.0.0.<1-254>']", ("[]",)),
    ("Array(Date)", "Array(Date)", "['2024-01-<10-28>','1970-01-01']", ("[]", "['2149-06-06']")),
    ("Array(Bool)", "Array(Bool)", "[true,false]", ("[]",)),
    ("Array(Tuple)", "Array(Tuple(Int32, String))", "[(<1-9>,'x')]", ("[]", "[(0,''),(1,'\\'')]")),
    ("Array(LowCardinality)", "Array(LowCardinality(String))", "['a','b<1-9>']", ("[]", "['','NULL']")),
    ("Array(Decimal)", "Array(Decimal(18, 4))", "[<1-9>.25,-0.5]", ("[]", "[0]")),
    ("Array(UInt64)", "Array(Nullable(UInt64))", "[<1-9>,NULL]", ("[]", "[18446744073709551615]")),
    ("Array(DateTime64)", "Array(DateTime64(3, 'UTC'))", "['2024-01-<10-28> 10:11:12.123']", ("[]",)),
    ("Point", "Point", "(<1-99>,2.5)", ("(0,0)", "(-0.5,1e300)")),
    ("Ring", "Ring", "[(0,0),(1,<1-9>)]", ("[]",)),
    ("Polygon", "Polygon", "[[(0,0),(1,<1-9>),(2,0)]]", ("[]", "[[]]")),
    ("MultiPolygon", "MultiPolygon", "[[[(0,0),(1,<1-9>),(2,0)]]]", ("[]", "[[[]]]")),
)
_MSSQL: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "money",
        "money",
        "<1-9><100-999>.<10-99>00",
        ("0.0000", "0.0001", "-1.1000", "922337203685477.5807", "-922337203685477.5808"),
    ),
    ("smallmoney", "smallmoney", "<100-999>.<10-99>00", ("0.0000", "214748.3647", "-214748.3648")),
    (
        "datetime2 7",
        "datetime2(7)",
        "2024-01-<10-28> 10:11:<10-59>.<1000001-9999999>",
        ("0001-01-01 00:00:00.0000000", "1582-10-10 00:00:00.0000001", "9999-12-31 23:59:59.9999999"),
    ),
    (
        "datetimeoffset 7",
        "datetimeoffset(7)",
        "2024-01-<10-28> 10:11:<10-59>.<1000001-9999999> +0<1-9>:30",
        (
            "0001-01-01 00:00:00.0000000 +00:00",
            "9999-12-31 23:59:59.9999999 +00:00",
            "2024-01-01 00:00:00.0000001 +14:00",
            "2024-01-01 00:00:00.0000000 -14:00",
        ),
    ),
    ("time 7", "time(7)", "<10-23>:11:<10-59>.<1000001-9999999>", ("00:00:00.0000000", "23:59:59.9999999")),
    ("sql_variant", "sql_variant", "v<1-99999>", ("", " ", "NULL", "имя")),
    ("hierarchyid", "hierarchyid", "/<1-9>/<10-99>/", ("/", "/1.1/", "/-1/", "/0.3.-7/")),
    ("xml", "xml", '<a b="<1-99>">x</a>', ("", "<a/>", "x", "<a>&amp;&lt;</a>", "<ü>имя</ü>")),
    ("nchar", "nchar(12)", "abcdefgh<1000-9999>", (" " * 12, "a" + " " * 11, "имя" + " " * 9)),
    ("char", "char(8)", "abcd<1000-9999>", (" " * 8, "a" + " " * 7)),
    ("geometry", "geometry", "POINT (<1-99> <1-99>)", ("LINESTRING (0 0, 1 1)", "POINT (-0.5 1.25)")),
    ("geography", "geography", "POINT (<10-99> <10-80>)", ("LINESTRING (0 0, 1 1)",)),
)
_PARQUET: tuple[tuple[str, pa.DataType, str, tuple[str, ...]], ...] = (
    (
        "struct",
        pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string())])), ("d", pa.list_(pa.int32()))]),
        '{"a":<1-99>,"b":{"c":"x"},"d":[1,null]}',
        ('{"a":null,"b":null,"d":[]}', '{"a":-9223372036854775808,"b":{"c":"\\" \\\\ ü"},"d":null}'),
    ),
    ("map", pa.map_(pa.string(), pa.int64()), '{"a":<1-99>,"b":null}', ("{}", '{"":0,"A":1,"a":2}')),
    ("list of structs", pa.list_(pa.struct([("a", pa.int32())])), '[{"a":<1-99>},{"a":null}]', ("[]", "[null]")),
    ("list of lists", pa.list_(pa.list_(pa.int64())), "[[<1-99>],[2,null]]", ("[]", "[[]]", "[null]")),
    ("list of bool", pa.list_(pa.bool_()), "[true,false]", ("[]", "[null]")),
)
_PARQUET_WIDER = (
    pa.large_string(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.time64("ns"),
    pa.timestamp("us", tz="Europe/Berlin"),
)
PARQUET_TYPES: Mapping[str, pa.DataType] = MappingProxyType(
    {str(found): found for found in (*(row[1] for row in _PARQUET), *_PARQUET_WIDER)}
)
"""The types of Parquet columns that are not the canonical ones of a kind, by their names."""

_NEVER_NULL = ("Array(", "Map(", "Tuple(", "Nested(", "LowCardinality(", "Point", "Ring", "Polygon", "MultiPolygon")


def _all() -> Iterator[OwnType]:
    for name, native, plain, edges in _POSTGRES:
        yield OwnType("postgres", name, native, plain, edges)
    for name, native, plain, edges in _CLICKHOUSE:
        yield OwnType("clickhouse", name, native, plain, edges, nullable=not native.startswith(_NEVER_NULL))
    for name, found, plain, edges in _PARQUET:
        yield OwnType("minio", name, str(found), plain, edges)
    for name, native, plain, edges in _MSSQL:
        yield OwnType("mssql", name, native, plain, edges)
    for name, native, _, plain, edges in AVRO:
        yield OwnType("kafka", name, native, plain, edges)


OWN: Mapping[str, OwnType] = MappingProxyType({own.kind: own for own in _all()})
"""Kind → type, in the order of the columns."""
