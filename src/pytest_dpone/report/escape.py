"""The one place where foreign text is made safe to show: in a terminal and in Markdown."""

from __future__ import annotations

import re

# C0 and C1 controls, line and paragraph separators, bidirectional overrides, zero-width and byte order marks.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def visible(text: str) -> str:
    """`text` on one line with every control and invisible character spelled out, e.g. `\\x1b`, `\\n`, `\\u202e`."""
    return _UNSAFE.sub(_spell, text)


def visible_lines(text: str) -> list[str]:
    """The lines of `text`, each made `visible`."""
    return [visible(line) for line in text.splitlines()]


def markdown(text: str) -> str:
    """`text` for Markdown prose or a table cell: visible, and every character that Markdown or HTML reads is inert."""
    return _MARKDOWN.sub(r"\\\1", visible(text)).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def code(text: str) -> str:
    """`text` as inline code; the fence is longer than any run of backticks in it, and a table's bar is escaped."""
    plain = visible(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{fence}{pad}{plain}{pad}{fence}".replace("|", "\\|")


def _spell(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
