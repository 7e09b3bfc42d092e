"""Writing a log: one record a transaction, durable before the transaction is committed.

Whatever fails here refuses the commit: what could not be logged is not acknowledged. After a failure the next
append begins a new segment, whose head says which record it begins with, so that whatever lies half-written
behind the last good record counts for nothing (`segments.py`). Only where nobody knows whether the store has
a transaction (its commit failed in a way that leaves that open) the log takes no more: the next opening
compares the two.

With `flush_seconds` 0 a record is flushed before its transaction is committed. With more, records are flushed
that often: a power cut of this machine may cost the log its last seconds, and then the store, which has them,
begins another log. A killed process costs it nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dualtrack.engine import files
from dualtrack.engine.rowlog import noting, records
from dualtrack.engine.rowlog.noting import Noted
from dualtrack.engine.rowlog.records import Header, Position
from dualtrack.engine.rowlog.segments import Segment, file_name, segments
from dualtrack.engine.stores.recording import Change
from dualtrack.errors import StoreError

SEGMENT_BYTES = 256 << 20
"""About as much as an owner reads again when it opens a store."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log lies and how often it is flushed."""

    folder: str
    flush_seconds: int = 0


class RowLog:
    """A `ChangeLog`. One thread appends; others may ask how it stands."""

    def __init__(
        self,
        place: Place,
        header: Header,
        chain: bytes,
        lock: int,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`header` is the last segment's, but for `first` and `chain`: those of the record to come."""
        self.place = place
        self._header = header
        self._chain = chain
        self._seq = header.first - 1
        self._flushed = self._seq
        self._lock = lock
        self._clock = clock
        self._file: int | None = None
        self._size = 0
        self._before: tuple[int, bytes] | None = None
        #: Why nothing can be appended, for good; or why the last append failed.
        self.failure = ""
        self._ended = ""
        self._noted_on: tuple[str, str] | None = None
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._flusher: threading.Thread | None = None
        self._begin_flusher()

    @property
    def log(self) -> str:
        return self._header.log

    @property
    def seq(self) -> int:
        return self._seq

    def note_on(self, drive: str, store: str) -> None:
        """Have the drive remember how far the log of this store is (`noting.py`)."""
        self._noted_on = drive, noting.seen_from(drive, store)

    def go_on_in(self, segment: Segment, size: int) -> None:
        """Append to a segment that is whole instead of beginning another."""
        with self._guard:
            self._file = files.open_log(segment.path)
            self._size = size

    def flush_every(self, seconds: int) -> None:
        """From the next record on, which begins a segment that says so. `StoreError` where what was written
        so far cannot be flushed.
        """
        self._end_flusher()
        try:
            with self._guard:
                self._leave_segment()
                if self._ended:
                    raise StoreError(self._ended)
                self.place = replace(self.place, flush_seconds=seconds)
        finally:
            self._begin_flusher()

    def append(self, changes: Sequence[Change], term: int) -> bytes:
        """See `ChangeLog`. Returns the position that the store is to note."""
        with self._guard:
            if self._ended:
                raise StoreError(self._ended)
            try:
                self._append(records.pack_changes(changes))
            except OSError as error:
                self.failure = str(error.strerror or error)
                self._leave_segment()
                raise StoreError(
                    f"the row log in {self.place.folder} cannot be written ({self.failure}), so nothing was "
                    "committed: make room or mend its disk, or end the log (dualtrack engine row-log stop)"
                ) from error
            self.failure = ""
            return Position(self.log, self._seq, self._chain.hex(), term).pack()

    def failed(self, *, rolled_back: bool) -> None:
        """See `ChangeLog`."""
        with self._guard:
            assert self._before is not None
            if rolled_back:
                self._seq, self._chain = self._before
                self._flushed = min(self._flushed, self._seq)
                self._leave_segment()
                return
            self._ended = self.failure = (
                "a commit of the store failed after it was logged, and nobody knows whether it was done: "
                "start again, so that store and log are compared"
            )

    def rotate(self) -> None:
        """Begin another segment with the next record."""
        with self._guard:
            self._leave_segment()

    def prune(self, seq: int) -> int:
        """Remove the segments that hold nothing after record `seq`, and those of earlier logs; how many."""
        with self._guard:
            found = segments(self.place.folder)
            mine = [each for each in found if each.header.log == self.log]
            over = [each.path for each, following in pairwise(mine) if following.header.first - 1 <= seq]
            over += [each.path for each in found if each.header.log != self.log]
            for path in over:
                files.unlink(path)
            files.sync_directory(self.place.folder)
        return len(over)

    def close(self) -> None:
        self._end_flusher()
        with self._guard:
            self._leave_segment()
            if not self._ended:
                self._note()
            os.close(self._lock)

    def _append(self, body: bytes) -> None:
        if self._file is None or self._size > SEGMENT_BYTES:
            self._begin_segment()
        assert self._file is not None
        seq = self._seq + 1
        frame, chain = records.pack_frame(
            records.RECORD, seq, self._flushed, self._clock(), body, self._chain
        )
        files.write_all(self._file, frame)
        if not self.place.flush_seconds:
            files.sync_data(self._file)
            self._flushed = seq
        self._before = self._seq, self._chain
        self._seq, self._chain = seq, chain
        self._size += len(frame)

    def _begin_segment(self) -> None:
        self._leave_segment()
        if self._ended:  # what the last segment should hold is lost to it: nothing may follow
            raise StoreError(self._ended)
        header = replace(
            self._header,
            number=self._header.number + 1,
            first=self._seq + 1,
            previous=self._chain.hex(),
            flush_seconds=self.place.flush_seconds,
        )
        path = os.path.join(self.place.folder, file_name(header.log, header.number))
        frame = header.pack(self._clock())
        # The number counts from here on, whatever comes of it: a name is never used twice.
        self._header = header
        files.write_atomic(path, frame, mode=0o640)
        self._file, self._size = files.open_log(path), len(frame)
        self._note()

    def _note(self) -> None:
        """What the drive remembers may be behind; it is never ahead. So a failure costs no commit."""
        if self._noted_on is None:
            return
        drive, store = self._noted_on
        directory = os.path.dirname(self.place.folder)
        noted = Noted(self.log, self._header.number, self._flushed, self._clock(), directory, store)
        try:
            noting.write(drive, noted)
        except OSError as error:
            _log.warning("row log note=%s: %s: the drive says less of its log", noting.path_of(drive), error)

    def _leave_segment(self) -> None:
        self._flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _flush(self) -> None:
        """Only with `flush_seconds` there is something to do. A failure ends the log: what it should hold is
        lost to it, and a later success would not bring that back.
        """
        if self._file is None or self._flushed >= self._seq:
            return
        try:
            files.sync_data(self._file)
            self._flushed = self._seq
        except OSError as error:
            self.failure = str(error.strerror or error)
            self._ended = (
                f"the row log in {self.place.folder} could not be flushed ({self.failure}): mend its disk "
                "and start again, or end the log (dualtrack engine row-log stop)"
            )
            _log.error("row log failed=%s", self._ended)

    def _begin_flusher(self) -> None:
        if not self.place.flush_seconds:
            return
        self._closing.clear()
        self._flusher = threading.Thread(target=self._keep_flushing, name="row-log-flush", daemon=True)
        self._flusher.start()

    def _end_flusher(self) -> None:
        self._closing.set()
        if self._flusher is not None:
            self._flusher.join()
            self._flusher = None

    def _keep_flushing(self) -> None:
        while not self._closing.wait(self.place.flush_seconds):
            with self._guard:
                self._flush()
