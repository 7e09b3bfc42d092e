"""A gate per bucket: writers of objects pass together, who removes the bucket passes alone.

DeleteBucket has to know that nothing is in the bucket and that nothing comes in meanwhile. The drive has one
server process, so a gate in memory is enough; between processes the drive's lock and the fence do this.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gates:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[str, int] = {}
        self._closed: set[str] = set()

    @contextmanager
    def writing(self, bucket: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: bucket not in self._closed)
            self._inside[bucket] = self._inside.get(bucket, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[bucket] -= 1
                if not self._inside[bucket]:
                    del self._inside[bucket]
                    self._changed.notify_all()

    @contextmanager
    def alone(self, bucket: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: bucket not in self._closed)
            self._closed.add(bucket)
            self._changed.wait_for(lambda: bucket not in self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._closed.discard(bucket)
                self._changed.notify_all()
