"""Clients of the API that are broken in one way each; of these, too, mutants are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....core.wire import Job
from ...native import NativeEngine, Seams, Source
from ...native.api import ApiSource, Listing
from ...native.api_client import Answer, Client

Pages = Iterator[list[dict[str, Any]]]


def reading(kind: type[ApiSource]) -> NativeEngine:
    """The native engine that reads by `kind`."""

    def instead(job: Job, source: Source) -> Source:
        source.close()
        return kind(job)

    return NativeEngine(Seams(source=instead))


class _AllButTheLast(Listing):
    def pages(self) -> Pages:
        """Each page when the next one is there."""
        held: list[dict[str, Any]] | None = None
        for rows in super().pages():
            if held is not None:
                yield held
            held = rows


class LosesLastPage(ApiSource):
    """Takes the last page for the end."""

    listing = _AllButTheLast


class _Twice(Listing):
    def pages(self) -> Pages:
        """A page once more if it had to be asked for again."""
        before = self.client.repeated
        for rows in super().pages():
            yield rows
            if self.client.repeated > before:
                yield rows
            before = self.client.repeated


class DoublesRepeated(ApiSource):
    """Keeps what came before an error, and what came after it."""

    listing = _Twice


class _AnyVersion(Listing):
    def page(self, place_in: str | None, etag: str) -> Answer:
        """A page of whatever version is there."""
        del etag
        return super().page(place_in, "")


class ReadsAcrossChanges(ApiSource):
    """Goes on by offset though the table has changed."""

    listing = _AnyVersion


class _LimitedError(Exception):
    """A 429 came."""


class _Discouraged(Client):
    def wait(self, answer: Answer) -> float:
        """Not at all."""
        raise _LimitedError(answer.status)


class _UntilLimited(Listing):
    def pages(self) -> Pages:
        """The pages before the first 429."""
        try:
            yield from super().pages()
        except _LimitedError:
            return


class GivesUpWhenLimited(ApiSource):
    """Takes a 429 for the end."""

    client = _Discouraged
    listing = _UntilLimited


class _Hasty(Client):
    def wait(self, answer: Answer) -> float:
        """Less than was asked for."""
        return super().wait(answer) / 4


class IgnoresRetryAfter(ApiSource):
    """Comes again before it may."""

    client = _Hasty
