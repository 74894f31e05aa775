"""The pages of the documentation taken apart: blocks, commands with their output, links, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_engine"

_FENCE = re.compile(r"^```(?P<language>\S*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `title` is the name of the file that it shows, or empty."""

    page: str
    line: int
    language: str
    title: str
    text: str


@dataclass(frozen=True)
class Command:
    """A line after `$ `, and the output that the page shows for it."""

    block: Block
    text: str
    output: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status that goes with the output that is shown."""
        if any(re.match(r"(\w+: )?(FAILED|NO-GO)", line) for line in self.output):
            return 1
        return 4 if any(line.startswith("hint: ") for line in self.output) else 0


def page_names() -> list[str]:
    """Every page that the documentation consists of, relative to the root."""
    paths = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = read(page)
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"], found["title"] or "", found["text"])


def commands(block: Block) -> tuple[Command, ...]:
    """The commands of a console block, in order."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"{block.page}:{block.line}: output before the first command"
            found[-1][1].append(line)
    return tuple(Command(block, text, tuple(output)) for text, output in found)


def all_commands() -> list[Command]:
    """The commands of all console blocks."""
    return [c for page in page_names() for b in blocks(page) if b.language == "console" for c in commands(b)]


def links(page: str) -> list[str]:
    """The targets of the page's links, without those inside of blocks."""
    return _LINK.findall(_FENCE.sub("", read(page)))


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown page has, as GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fields(page: str, heading: str) -> set[str]:
    """The names in the first column of the table below a line of text that starts with `heading`."""
    rest = f"\n{read(page)}".split(f"\n{heading}", 1)[1].split("|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return {name for line in rest.splitlines() for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])}


def shows(expected: tuple[str, ...], actual: str) -> bool:
    """If `actual` is what `expected` shows.

    A line `…` stands for any lines, `…` inside a line for any text. Blank lines, the width of gaps, seconds, and
    versions may differ.
    """
    pattern = "".join(_pattern(line) for line in expected if line.strip())
    text = "".join(f"{_plain(line)}\n" for line in actual.splitlines() if line.strip())
    return re.fullmatch(pattern, text) is not None


def _pattern(line: str) -> str:
    if line.strip() == "…":
        return r"(?:[^\n]*\n)*?"
    return re.escape(_plain(line)).replace("…", r"[^\n]*") + r"\n"


def _plain(line: str) -> str:
    line = re.sub(r"\d+\.\d+ ?s\b( \(\d+:\d\d:\d\d\))?", "N s", line)
    line = re.sub(r"\b\d+(\.\d+)+\b", "V", line)
    return re.sub(r"[ =]+", " ", line).strip()
