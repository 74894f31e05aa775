"""What clients of the API may ask: the columns of a table, and its rows page by page (see docs/api.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from .api_faults import Conduct
from .api_json import rows_as_json
from .api_store import LARGEST_PAGE, ApiError, Filter, Page, Space, Table, from_cursor, page_of, to_cursor

Query = Mapping[str, Sequence[str]]
Answer = tuple[int, dict[str, str], bytes]

_KNOWN = {"limit", "cursor", "offset", "updated_since", "days"}


class Spaces(Protocol):
    """Where namespaces are found."""

    def space(self, name: str) -> Space:
        """The namespace, or 404."""
        ...


class Headers(Protocol):
    """The headers of a request, whatever the case of their names."""

    def get(self, name: str, /) -> str | None:
        """A header, None if it is not there."""
        ...


def answer(spaces: Spaces, path: Sequence[str], query: Query, headers: Headers, *, allowed: bool) -> Answer:
    """The answer to `GET /v1/…`. Raises `ApiError` for whatever is no success, and counts both."""
    if len(path) not in (3, 4) or path[1] != "tables" or path[3:] not in ([], ["rows"]):
        raise ApiError(404, "paths are /v1/{namespace}/tables/{table} and …/rows")
    space = spaces.space(path[0])
    with space.lock:
        counts = space.conduct.counts
        counts["requests"] += 1
        try:
            if not allowed:
                raise ApiError(401, "the token is unknown or has expired", WWW_Authenticate='Bearer realm="api"')
            table = space.table(path[2])
            return _rows(space.conduct, path[2], table, query, headers) if path[3:] else _described(table)
        except ApiError as error:
            counts[str(error.status)] += 1
            raise


def _described(table: Table) -> Answer:
    schema = table.schema
    content = {
        "columns": [{"name": f.name, "kind": f.kind, "nullable": f.nullable} for f in schema.fields],
        "key": schema.key,
        "updated": schema.cursor,
        "day": schema.partition,
        "largest_page": LARGEST_PAGE,
    }
    headers = {"Content-Type": "application/json", "ETag": table.etag}
    return 200, headers, json.dumps(content, ensure_ascii=False).encode()


def _rows(conduct: Conduct, name: str, table: Table, query: Query, headers: Headers) -> Answer:
    if (seconds := conduct.retry_after()) is not None:
        raise ApiError(429, "too many requests", Retry_After=str(seconds))
    asked = _filter(query)
    limit = _number(query, "limit", default=LARGEST_PAGE, least=1)
    version, start = _start(table, query, asked)
    if start and not table.stirred and table.rows.num_rows > 1:
        table.stir()  # somebody else writes, just while the second page is asked for
    _check_version(table, version, headers)
    if headers.get("If-None-Match") == table.etag:
        return 304, {"ETag": table.etag}, b""
    page = page_of(table.view(asked), start, limit)
    if page.next is None and conduct.fails((name, table.version, asked)):
        raise ApiError(500, "something went wrong here; it may work the next time")
    conduct.counts["pages"] += 1
    return 200, {"Content-Type": "application/json", "ETag": table.etag}, _content(table, page, asked)


def _content(table: Table, page: Page, asked: Filter) -> bytes:
    head: dict[str, object] = {"total": page.total}
    if not asked.everything:
        head = {"next": page.next and to_cursor(table.version, page.next, asked)}
    text = json.dumps(head)[:-1] + ', "rows": ' + rows_as_json(page.rows, table.schema) + "}"
    return text.encode()


def _filter(query: Query) -> Filter:
    if unknown := set(query) - _KNOWN:
        raise ApiError(400, f"unknown parameters: {', '.join(sorted(unknown))}; known are {', '.join(sorted(_KNOWN))}")
    return Filter(query.get("updated_since", (None,))[0], tuple(query.get("days", ())))


def _start(table: Table, query: Query, asked: Filter) -> tuple[int | None, int]:
    """(version, position) of a page. An offset does not know of which version it is; a cursor does."""
    if asked.everything:
        if "cursor" in query:
            raise ApiError(400, "a whole table is paged by offset")
        return None, _number(query, "offset", default=0, least=0)
    if "offset" in query:
        raise ApiError(400, "a listing with a filter is paged by cursor")
    return from_cursor(query["cursor"][0], asked) if "cursor" in query else (table.version, 0)


def _number(query: Query, name: str, *, default: int, least: int) -> int:
    text = query.get(name, (str(default),))[0]
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ApiError(400, f"{name} must be a number of at least {least}")
    return int(text)


def _check_version(table: Table, version: int | None, headers: Headers) -> None:
    """412 for a page of a version that is no more. A cursor knows its version; with an offset the client must say."""
    wanted = headers.get("If-Match")
    if (wanted is not None and wanted != table.etag) or (version is not None and version != table.version):
        raise ApiError(412, "the table has changed since the first page: list it again", ETag=table.etag)
