"""Reading ahead: a source of batches that works in a thread of its own while the last batch is being used.

At most one finished batch waits. The source is run by that thread alone, so it may be an ordinary generator.
Its error comes to the user at the place where the next batch would have come; ending early stops the source
at its next batch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TypeVar

_Item = TypeVar("_Item")
_WAIT_SECONDS = 0.05


def read_ahead(source: Iterator[_Item]) -> Generator[_Item, None, None]:
    """The items of `source`, each begun before the one before it is asked for."""
    waiting: queue.Queue[tuple[_Item | None, BaseException | None]] = queue.Queue(1)
    ended = threading.Event()

    def fill() -> None:
        try:
            for item in source:
                waiting.put((item, None))
                if ended.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - whoever asks for the next item gets it
            waiting.put((None, error))
        else:
            waiting.put((None, None))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        ended.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                waiting.get(timeout=_WAIT_SECONDS)
