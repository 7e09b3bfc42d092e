"""`lazy`: the row of an object that is read comes into the store in the background.

A read names a key whose row is missing, below the trust floor, or older than its file. A row is loaded as a
sweep would do it: the generation is taken before the file is opened and the put gives way to anything newer
and to a dirty key, so a loaded row is never older than a write that was answered. A key that is dirty is
drained instead. The queue is bounded: what does not fit is loaded after a later read.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.rows import Row, RowDraft
from dualtrack.engine.stores.protocol import Batch, Place, Put

_log = logging.getLogger(__name__)
CAPACITY = 10_000


class Loader:
    """`offer` in a read; `step` loads what is waiting; `start` does so in a thread until `stop`."""

    def __init__(self, kv: KvTrack, read: Callable[[str, str], RowDraft | None]) -> None:
        self._kv = kv
        self._read = read
        self._waiting: queue.Queue[Place | None] = queue.Queue(CAPACITY)
        self._queued: set[Place] = set()
        self._thread: threading.Thread | None = None

    def offer(self, bucket: str, key: str) -> None:
        """Have the row loaded if the store lacks it. Never fails the read."""
        place = bucket, key
        try:
            if place in self._queued or not self._wanting(place):
                return
            self._queued.add(place)
            self._waiting.put_nowait(place)
        except KV_ERRORS as error:
            _log.debug("not looked up bucket=%s key=%r error=%s", bucket, key, error)
        except queue.Full:
            self._queued.discard(place)

    def _wanting(self, place: Place) -> bool:
        if self._kv.keeper.broken:
            return False
        if self._kv.keeper.is_dirty(*place):
            return True
        row = self._kv.get(*place)
        return row is None or not self._kv.trusted(row)

    def step(self) -> int:
        """Load what is waiting now; how many keys that were."""
        count = 0
        while not self._waiting.empty():
            place = self._waiting.get()
            if place is None:
                break
            self._attempt(place)
            count += 1
        return count

    def _attempt(self, place: Place) -> None:
        self._queued.discard(place)
        try:
            self._load(place)
        except (*KV_ERRORS, OSError) as error:
            _log.warning("row not loaded bucket=%s key=%r error=%s", *place, error)

    def _load(self, place: Place) -> None:
        keeper = self._kv.keeper
        if keeper.is_dirty(*place):
            keeper.drain(self._read, 1, [place])
            return
        generation = keeper.next_generation()
        draft = self._read(*place)
        if draft is not None:
            row = Row.of(*place, generation, draft)
            keeper.commit(Batch(puts=(Put(row, draft.summary, "older", draft.versions),)))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="lazy-load", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (place := self._waiting.get()) is not None:
            self._attempt(place)

    def stop(self) -> None:
        """End the thread; what is still waiting is loaded after a later read."""
        if self._thread is None:
            return
        while self._thread.is_alive():
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                self._waiting.get()
            else:
                self._thread.join()
