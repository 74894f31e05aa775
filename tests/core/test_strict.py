"""Strict JSON: what is refused, and that what is right is read as it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.core.strict import (
    MAX_DEPTH,
    NotStrict,
    indented,
    is_as_written,
    kind_of,
    number,
    parse,
    parse_object,
)

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)  # fmt: skip


@given(values)
def test_what_is_strict_is_read(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values))
def test_what_is_written_is_read_and_known_again(data: dict[str, object]) -> None:
    raw = indented(data)
    assert parse(raw) == data
    assert is_as_written(raw, data)
    assert not is_as_written(raw + b" ", data)
    assert not is_as_written(raw.replace(b"\n", b"\n ", 1), data)


def test_half_a_surrogate_pair_is_spelled_out() -> None:
    assert indented({"a": "\ud800"}) == b'{\n  "a": "\\ud800"\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError):
        indented({"a": value})


@given(st.binary())
def test_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        parse(data)
    except NotStrict as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' occurs twice"),
        (b'{"a\\nb": 1, "a\\nb": 2}', r"the key 'a\nb' occurs twice"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "the number 1e999 overflows"),
        (b"[-1e999]", "the number -1e999 overflows"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b'{"a": "\xc3"}', "byte 7 is not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "Expecting"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b'["\\ud83d"]', "half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper than 64 levels"),
        (b"[" * 100_000, "deeper than 64 levels"),
        (b"[" + b"9" * 5000 + b"]", "Exceeds the limit"),
        (b"", "Expecting value at line 1, column 1"),
        (b"{} x", "Extra data at line 1, column 4"),
    ],
)
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(NotStrict) as caught:
        parse(data)
    assert words in str(caught.value)


def test_depth_and_pairs_that_are_allowed() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    assert parse(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


def test_objects_only() -> None:
    assert parse_object(b'{"a": 1}') == {"a": 1}
    for data, words in ((b"[]", "an array"), (b"null", "null"), (b'"x"', "a text"), (b"true", "a boolean")):
        with pytest.raises(NotStrict, match=f"it holds {words}, not an object"):
            parse_object(data)


@pytest.mark.parametrize("value", [0, -1, 0.5, 10**18, -(10.0**18)])
def test_numbers(value: float) -> None:
    assert number(value) == value


@pytest.mark.parametrize("value", [True, "1", None, [], {}, 10**18 + 1, 1e19, float("nan"), float("inf"), 10**400])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(NotStrict):
        number(value)


def test_kinds_have_words() -> None:
    assert [kind_of(v) for v in (None, True, 1, 1.5, "", [], {}, ())] == [
        "null", "a boolean", "a number", "a number", "a text", "an array", "an object", "tuple",
    ]  # fmt: skip
