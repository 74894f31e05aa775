"""The API as a source: pages by offset or cursor, all of one version of the table, or the listing begins again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa

from ...core.wire import Job
from ...errors import EngineFailed, UsageError
from .address import place, told
from .api_client import Answer, Client, refused
from .api_rows import parse, to_batch, travel_of
from .arrow import Batches, grouped, sliced
from .ports import Extract

_ATTEMPTS = 10
_BATCH_BYTES = 32 << 20


class MovedError(Exception):
    """The table has changed since the first page of the listing."""


class Listing:
    """One listing of a table, page by page. All pages are of one version, else `MovedError`."""

    def __init__(self, client: Client, path: str, query: list[tuple[str, str]], *, limit: int, where: str) -> None:
        self.client = client
        self._path = path
        self._query = query
        self._limit = limit
        self._where = where

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """The rows of each page."""
        etag = ""
        place_in: str | None = None
        while True:
            answer = self.page(place_in, etag)
            etag = answer.headers.get("etag", "")
            if not etag:
                raise EngineFailed(f"{self._where} tells no ETag", hint="without it pages may be of two versions")
            content = parse(answer.body)
            yield content["rows"]
            place_in = self._next(place_in, content)
            if place_in is None:
                return

    def page(self, place_in: str | None, etag: str) -> Answer:
        """One page of the version `etag`; of any, if that is empty."""
        query = [*self._query, ("limit", str(self._limit))]
        if place_in is not None:
            query.append(("cursor" if self._query else "offset", place_in))
        answer = self.client.get(f"{self._path}?{urlencode(query)}", {"If-Match": etag} if etag else None)
        if answer.status == 412:
            raise MovedError
        if answer.status != 200:
            raise refused(answer, doing="reading a page", where=self._where)
        return answer

    def _next(self, place_in: str | None, content: dict[str, Any]) -> str | None:
        """Where the following page begins; None behind the last one."""
        if self._query:
            return content["next"]  # type: ignore[no-any-return]
        seen = int(place_in or 0) + len(content["rows"])
        if seen < content["total"] and not content["rows"]:
            raise EngineFailed(f"{self._where} has given {seen} of {content['total']} rows", hint="run again")
        return str(seen) if seen < content["total"] else None


class ApiSource:
    """A table behind the API; implements `Source`.

    Pages wait on disk until the last one is there: then all of them are of one version, and none was handed on before.
    """

    listing = Listing
    client = Client

    def __init__(self, job: Job) -> None:
        self._job = job
        self._endpoint = job.source
        self._where = place(job.source)
        self._path = f"/v1/{quote(job.source.namespace, safe='')}/tables/{quote(job.source.table, safe='')}"
        self._client = self.client(job.source)
        try:
            with told(self._endpoint, "opening the source"):
                self._about = self._describe()
                self.schema = pa.schema(
                    [
                        pa.field(c["name"], travel_of(c["kind"], c["name"]), nullable=c["nullable"])
                        for c in self._about["columns"]
                    ]
                )
        except BaseException:
            self.close()
            raise

    def read(self, extract: Extract) -> Batches:
        """See `Source.read`."""
        if extract.days == ():
            return
        query = self._query(extract)
        with told(self._endpoint, "reading the source"), tempfile.TemporaryFile(prefix="pytest-dpone-") as file:
            self._spool(query, file)
            file.seek(0)
            with pa.ipc.open_stream(file) as batches:
                for table in grouped(iter(batches), rows=self._job.batch_rows, size=_BATCH_BYTES):
                    yield from sliced(iter(table.combine_chunks().to_batches()), rows=self._job.batch_rows)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _describe(self) -> dict[str, Any]:
        answer = self._client.get(self._path)
        if answer.status != 200:
            raise refused(answer, doing="asking for the columns", where=self._where)
        about: dict[str, Any] = parse(answer.body)
        return about

    def _query(self, extract: Extract) -> list[tuple[str, str]]:
        """The filter, in the parameters of the API."""
        query = []
        if extract.since is not None:
            self._check("updated", self._job.cursor)
            query.append(("updated_since", extract.since))
        if extract.days is not None:
            self._check("day", self._job.partition)
            query += [("days", f"{window.start}/{window.stop}") for window in extract.days]
        return query

    def _check(self, role: str, column: str) -> None:
        if self._about[role] != column:
            raise UsageError(
                f"{self._where} can't be filtered by {column!r}", hint=f"it can be by {self._about[role]!r}"
            )

    def _spool(self, query: list[tuple[str, str]], file: Any) -> None:
        """All pages of one version of the table, into `file`; from the start again if it changes meanwhile."""
        for _ in range(_ATTEMPTS):
            file.seek(0)
            file.truncate()
            listing = self.listing(
                self._client, f"{self._path}/rows", query, limit=self._job.batch_rows, where=self._where
            )
            try:
                with pa.ipc.new_stream(file, self.schema) as writer:
                    for rows in listing.pages():
                        writer.write_batch(to_batch(rows, self.schema))
                return
            except MovedError:
                continue
        raise EngineFailed(
            f"{self._where} changed {_ATTEMPTS} times while it was read", hint="read it when there is less going on"
        )
