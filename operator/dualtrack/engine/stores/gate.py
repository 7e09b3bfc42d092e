"""Who is inside a store: nobody after it was closed, nobody in a forked child, and close waits for the rest.

A native library crashes the process, or corrupts its file, where a transaction outlives its store.
"""

from __future__ import annotations

import os
import threading

from dualtrack.errors import StoreError


class Gate:
    """`with gate:` is one visit. Every read pays for it, so it is no generator and takes one plain lock."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._active = 0
        self._closed = False

    def __enter__(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError("the store was opened by another process; open it again after a fork")
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed; open it again")
            self._active += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._active -= 1
            if self._closed:
                self._idle.notify_all()

    def close(self) -> bool:
        """Let nobody in any more and wait until all have left. False if it was closed before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            self._idle.wait_for(lambda: self._active == 0)
            return True
