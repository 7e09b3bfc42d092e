"""The drain: brings the rows of dirty keys up to their files, in the background.

It sleeps until something is marked and looks again now and then, because a mark may also have come from an
earlier process. A store that fails is tried again; meanwhile the keys stay dirty, their files answer, and
`rustfs_kv_degraded` says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import decode
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.errors import ObjectError
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.intents import Pending, settle
from dualtrack.engine.objects.kv_track import KV_ERRORS, Keeper, draft_of, resident_draft
from dualtrack.engine.rows import RowDraft
from dualtrack.errors import FormatError

_log = logging.getLogger(__name__)
BATCH = 10_000
IDLE_SECONDS = 1.0
MAX_DEFERRED = 10_000
"""Dirty keys beyond which nothing is deferred any longer."""


def draft_reader(fs: FsTrack, pending: Pending | None = None) -> Callable[[str, str], RowDraft | None]:
    """What the owner asks for when it drains a key: the row of the file as it is now. An intent that is
    `pending` is carried out first; the owner holds the key's stripe meanwhile."""

    def read(bucket: str, key: str) -> RowDraft | None:
        try:
            if pending is not None:
                settle(fs, pending, bucket, key)
            file = fs.read(bucket, key)
        except ObjectError as error:
            raise OSError(str(error)) from error
        return None if file is None else _draft(bucket, file)

    return read


def _draft(bucket: str, file: MetaFile) -> RowDraft:
    try:
        return draft_of(bucket, decode(file.data), file.data, file)
    except FormatError:
        return resident_draft(file)


class Drain:
    """`step` settles what is dirty now; `start` does so in a thread until `stop`.

    The thread leaves a key alone for `defer` seconds, so that one that is written again and again costs one
    row; unless somebody waits for it, as a verification does. `follow` is of a plane whose rows lead (see
    `Owner.drain`).
    """

    def __init__(
        self,
        keeper: Keeper,
        fs: FsTrack,
        report: Callable[[bool], None],
        wanted: threading.Event,
        defer: float = 0.0,
        follow: Callable[[str, str], None] | None = None,
    ) -> None:
        self._keeper = keeper
        self._defer = defer
        self._read = draft_reader(fs, keeper)
        self._follow = follow
        self._report = report
        self._wanted = wanted
        self._stopping = False
        self._thread: threading.Thread | None = None

    def step(self) -> int:
        """Settle all that is dirty, as far as it goes; how many keys that were."""
        total = 0
        while settled := self._keeper.drain(self._read, BATCH, None, self._follow):
            total += settled
        return total

    def due(self) -> int:
        """Settle what has waited long enough, and first of all what somebody waits for."""
        awaited = self._keeper.awaited()
        settled = sum(
            self._keeper.drain(self._read, BATCH, awaited[first : first + BATCH], self._follow)
            for first in range(0, len(awaited), BATCH)
        )
        while places := self._keeper.dirty_since(time.monotonic() - self._defer)[:BATCH]:
            count = self._keeper.drain(self._read, BATCH, places, self._follow)
            settled += count
            if count < len(places):
                break  # some stay dirty: they are tried again at the next turn
        return settled

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="journal-drain", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait(IDLE_SECONDS)
            self._wanted.clear()
            crowded = len(self._keeper.dirty_places(MAX_DEFERRED)) == MAX_DEFERRED
            self._attempt(self.due if self._defer and not crowded else self.step)

    def _attempt(self, settle_some: Callable[[], int]) -> None:
        try:
            settle_some()
        except KV_ERRORS as error:
            _log.warning("drain failed, the keys stay dirty error=%s", error)
            self._report(True)
            return
        self._report(self._keeper.broken)

    def stop(self) -> None:
        """End the thread and settle what is left, if the store lets us."""
        self._stopping = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
            self._attempt(self.step)
