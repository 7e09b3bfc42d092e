"""Reading ahead: a source of batches that works in a thread of its own while the last batch is being used.

At most one finished batch waits. The source is run by that thread alone, so it may be an ordinary generator.
Its error comes to the user at the place where the next batch would have come; ending early stops the source
at its next batch. Where the user must not be run ahead of (a sweep that gives way to others counts the time
that it works), a batch is begun when it is asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TypeVar

_Item = TypeVar("_Item")
_WAIT_SECONDS = 0.05


def read_ahead(
    source: Iterator[_Item], eager: Callable[[], bool] = lambda: True
) -> Generator[_Item, None, None]:
    """The items of `source`, each begun before the one before it is used up; while `eager` says no, not
    before it is asked for.
    """
    waiting: queue.Queue[tuple[_Item | None, BaseException | None]] = queue.Queue(1)
    ended = threading.Event()
    turn = threading.Condition()
    asked = begun = 0

    def begin() -> None:
        nonlocal begun
        with turn:
            while asked <= begun and not ended.is_set() and not eager():
                turn.wait(_WAIT_SECONDS)  # `eager` may say something else by then
            begun += 1

    def fill() -> None:
        try:
            while True:
                begin()
                item = None if ended.is_set() else next(source, None)
                waiting.put((item, None))
                if item is None:
                    return
        except BaseException as error:  # noqa: BLE001 - whoever asks for the next item gets it
            waiting.put((None, error))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            with turn:
                asked += 1
                turn.notify()
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        ended.set()
        with turn:
            turn.notify()
        while thread.is_alive():
            with suppress(queue.Empty):
                waiting.get(timeout=_WAIT_SECONDS)
