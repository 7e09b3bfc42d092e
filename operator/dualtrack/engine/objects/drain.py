"""The drain: brings the rows of dirty keys up to their files, in the background.

It sleeps until something is marked and looks again now and then, because a mark may also have come from an
earlier process. A store that fails is tried again; meanwhile the keys stay dirty, their files answer, and
`rustfs_kv_degraded` says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import decode
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.errors import ObjectError
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.kv_track import KV_ERRORS, Keeper, draft_of, resident_draft
from dualtrack.engine.rows import RowDraft
from dualtrack.errors import FormatError

_log = logging.getLogger(__name__)
BATCH = 10_000
IDLE_SECONDS = 1.0


def draft_reader(fs: FsTrack) -> Callable[[str, str], RowDraft | None]:
    """What the owner asks for when it drains a key: the row of the file as it is now."""

    def read(bucket: str, key: str) -> RowDraft | None:
        try:
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
    """`step` settles what is dirty now; `start` does so in a thread until `stop`."""

    def __init__(
        self, keeper: Keeper, fs: FsTrack, report: Callable[[bool], None], wanted: threading.Event
    ) -> None:
        self._keeper = keeper
        self._read = draft_reader(fs)
        self._report = report
        self._wanted = wanted
        self._stopping = False
        self._thread: threading.Thread | None = None

    def step(self) -> int:
        """Settle all that is dirty, as far as it goes; how many keys that were."""
        total = 0
        while settled := self._keeper.drain(self._read, BATCH):
            total += settled
        return total

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="journal-drain", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait(IDLE_SECONDS)
            self._wanted.clear()
            self._attempt()

    def _attempt(self) -> None:
        try:
            self.step()
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
            self._attempt()
