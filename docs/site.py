"""Hooks of MkDocs: links out of docs/ lead to the repository."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\]\((?:\.\./)+(?P<path>(?!\.\./)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FOLDER = re.compile(r"\]\((?P<path>schemas)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: object) -> str:
    """Rewrite the links of a page to what is no page: files of the repository, and folders of docs/."""
    repository = f"{config.repo_url.rstrip('/')}/blob/main"
    depth = page.file.src_uri.count("/")

    def outside(found: re.Match[str]) -> str:
        if found[0].count("../") <= depth:  # it stays inside of docs/
            return found[0]
        return f"]({repository}/{found['path']}{found['anchor'] or ''})"

    markdown = _OUTSIDE.sub(outside, markdown)
    return _FOLDER.sub(lambda found: f"]({repository}/docs/{found['path']})", markdown)
