"""Foreign text is inert wherever it is shown."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dpone.report.escape import code, markdown, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Привет 🙂", "plain Привет 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("a\u202eb\u2066\u200b\ufeff\u2028", "a\\u202eb\\u2066\\u200b\\ufeff\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_can_not_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_invisible_passes(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert shown.isprintable() or unicodedata.normalize("NFC", shown)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


def test_lines_are_kept_apart() -> None:
    assert visible_lines("one\x1b\ntwo") == ["one\\x1b", "two"]


def test_markdown_reads_nothing_into_it() -> None:
    shown = markdown("<script>alert(1)</script> | [x](javascript:y) `z` *b* &amp; # h\n- item")
    assert "<" not in shown
    assert ">" not in shown
    assert "\n" not in shown
    assert re.search(r"(?<!\\)[|\[\]`*#]", shown) is None
    assert "&amp;amp;" in shown


@pytest.mark.parametrize("text", ["plain", "`", "a``b", "``` x", "", " ", "a|b", "<b>"])
def test_code_keeps_its_fence(text: str) -> None:
    shown = code(text)
    fence = re.match("`+", shown)
    assert fence is not None
    assert shown.endswith(fence[0])
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall("`+", inside)
    assert re.search(r"(?<!\\)\|", shown) is None
