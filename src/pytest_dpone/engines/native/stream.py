"""Reading ahead of writing with a bounded queue, and errors that pass through a driver unharmed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue

import pyarrow as pa

from .arrow import Batches

_DEPTH = 3
_PATIENCE = 0.1


def ahead(batches: Batches) -> Batches:
    """The same batches, read by another thread up to a few batches ahead.

    An error of the reader is raised here, after the batches before it. Closing the generator ends the thread.
    """
    queue: Queue[pa.RecordBatch | _End] = Queue(_DEPTH)
    stop = threading.Event()
    thread = threading.Thread(target=_pump, args=(batches, queue, stop), name="dpone-read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        _drain(queue)
        thread.join()


class _End:
    """Ends the queue, with the reader's error if there was one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _pump(batches: Batches, queue: Queue[pa.RecordBatch | _End], stop: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for batch in batches:
            if not _put(queue, batch, stop):
                break
    except BaseException as caught:
        error = caught
    finally:
        if close := getattr(batches, "close", None):
            close()
    _put(queue, _End(error), stop)


def _put(queue: Queue[pa.RecordBatch | _End], item: pa.RecordBatch | _End, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            queue.put(item, timeout=_PATIENCE)
        except Full:
            continue
        return True
    return False


def _drain(queue: Queue[pa.RecordBatch | _End]) -> None:
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return


class Guarded:
    """Batches on their way through a driver: counts rows and keeps an error that the driver would reword."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self.rows = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += batch.num_rows
                yield batch
        except BaseException as error:
            self.error = error
            raise

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Raise the error of the batches themselves instead of what a driver made of it."""
        try:
            yield
        except Exception:
            if self.error is not None:
                raise self.error from None
            raise
