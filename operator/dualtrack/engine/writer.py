"""Group commit: one thread writes the store, and whoever asks at the same time shares a transaction and its
flush.

A durable commit costs a flush of the disk, whatever it holds, so batches that wait for one are committed
together. A batch that is refused (fence, damage) fails alone; a full disk or map fails the whole transaction,
with nothing of it written.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Container
from concurrent.futures import Future
from typing import Any, TypeVar

from dualtrack.engine.stores.protocol import Batch, BatchResult, OwnedStore, Place
from dualtrack.errors import DualTrackError, StoreError

GROUP_PUTS = 8_192
_Result = TypeVar("_Result")
_Item = tuple[Batch, "Future[BatchResult]"]
_Call = tuple[Callable[[], Any], "Future[Any]"]


class Writer:
    def __init__(self, store: OwnedStore, dirty: Container[Place]) -> None:
        self._store = store
        self._dirty = dirty
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> Future[BatchResult]:
        future: Future[BatchResult] = Future()
        self._enqueue((batch, future))
        return future

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run `function` on the writer thread, between two transactions."""
        future: Future[_Result] = Future()
        self._enqueue((function, future))
        return future.result()

    def _enqueue(self, item: Any) -> None:
        with self._closing:
            if self._closed:
                raise StoreError("the store is closed; open it again")
            self._queue.put(item)

    def close(self) -> None:
        """Commit what was submitted, then end."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        following: _Item | _Call | None = self._queue.get()
        while following is not None:
            if isinstance(following[0], Batch):
                following = self._commit_group(following[0], following[1])
            else:
                _settle(following[1], following[0])
                following = self._queue.get()

    def _commit_group(self, batch: Batch, future: Future[BatchResult]) -> _Item | _Call | None:
        """Commit `batch` and whatever else is waiting; returns the item that did not fit in."""
        group: list[_Item] = [(batch, future)]
        size = len(batch.puts)
        while size < GROUP_PUTS and not self._queue.empty():
            following: _Item | _Call | None = self._queue.get()
            if following is None or not isinstance(following[0], Batch):
                self._commit(group)
                return following
            group.append((following[0], following[1]))
            size += len(following[0].puts)
        self._commit(group)
        following = self._queue.get()
        return following

    def _commit(self, group: list[_Item]) -> None:
        try:
            results = self._store.commit_many([batch for batch, _ in group], self._dirty)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it; the thread must live on
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if isinstance(result, DualTrackError):
                future.set_exception(result)
            else:
                future.set_result(result)


def _settle(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - whoever waits gets it; the thread must live on
        future.set_exception(error)
