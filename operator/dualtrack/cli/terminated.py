"""SIGTERM in a verb that only reads: it ends where it stands, removes what it has begun to write, and tells.

A process that is alone in its container (PID 1) has no default action for SIGTERM: without a handler the
kernel drops the signal, and a pod waits its whole grace period for the SIGKILL. Verbs that change something
ask between two batches instead (`tasks.stopping`, which takes this handler's place while they work).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """As KeyboardInterrupt, so that nothing takes it for an error of what was being read."""


@contextmanager
def ending_where_it_stands() -> Iterator[None]:
    """The first SIGTERM raises `Terminated`; further ones do not disturb what that sets off."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
