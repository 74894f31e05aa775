"""A table of the page: with a caption, heads that say what they are of, and scrolled by itself if it is too wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import htpy as h


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[h.Node]], *, numbers: int = 0) -> h.Element:
    """The first cell of a row is its head; the `numbers` columns after it are numbers."""
    return h.div(".scroll", role="region", aria_label=caption, tabindex="0")[
        h.table[
            h.caption[caption],
            h.thead[
                h.tr[
                    (h.th(class_="n" if 0 < n <= numbers else None, scope="col")[head] for n, head in enumerate(heads))
                ]
            ],
            h.tbody[
                (
                    h.tr[
                        h.th(scope="row")[row[0]],
                        (_cell(cell, number=n <= numbers) for n, cell in enumerate(row[1:], start=1)),
                    ]
                    for row in rows
                )
            ],
        ]
    ]


def _cell(content: h.Node, *, number: bool) -> h.Element:
    if number:
        return h.td(".n")[content]
    long = isinstance(content, str) and len(content) > 40
    return h.td(".long")[content] if long else h.td[content]
