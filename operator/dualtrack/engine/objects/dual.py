"""`fs` with a ratio, and `kv_primary` with files as the truth: writes that keep both tracks together.
(Levels other than `eventual` are in `levels`.)

The order is always: the key is marked in the journal, durably; the file is renamed; then the row. From the
mark on the key is dirty, and whoever would read its row reads the file, so that no reader ever sees a row
that is older than an acknowledged file. In `fs` the row is the drain's work; in `kv_primary` it is committed
before the answer, and if that fails, the mark stays and is the durable list of what has to be mended.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.mode import Mode
from dualtrack.engine.objects.cursors import Overlay, RowVersions, between
from dualtrack.engine.objects.documents import Track, decode_meta
from dualtrack.engine.objects.errors import Unavailable
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.kv_track import KV_ERRORS, NO_REFERENCES, KvTrack, References
from dualtrack.engine.objects.pages import Cursor
from dualtrack.engine.objects.plane import FsPlane, Wanted, index_cursor
from dualtrack.engine.objects.shadow import Shadow
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import RowOrigin, RowState
from dualtrack.engine.summary import Summary, summary

_log = logging.getLogger(__name__)


class DualPlane(FsPlane):
    """`fs` with a ratio: the file answers; rows follow through the journal and are compared by reads.

    `wake` tells the drain of a write; `missed`, at the level `lazy`, the loader of a read.
    """

    def __init__(
        self,
        fs: FsTrack,
        meter: Meter,
        mode: Mode,
        kv: KvTrack,
        shadow: Shadow,
        wake: Callable[[], None],
        missed: Callable[[str, str], None] | None,
    ) -> None:
        super().__init__(fs, meter)
        self._missed = missed
        self._mode = mode
        self._keeper = kv.keeper
        self._shadow = shadow
        self._wake = wake

    def track(self, bucket: str, key: str) -> Track:
        return "dual" if self._mode.dual(bucket, key) else "fs"

    def load(self, bucket: str, key: str) -> bytes | None:
        found = self.read_file(bucket, key)
        if self._mode.dual(bucket, key):
            self._shadow.compare(bucket, key, found)
            if self._missed is not None:
                self._missed(bucket, key)
        return None if found is None else found.data

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        if self._mode.dual(bucket, key):
            self._keeper.mark(bucket, key)
        super().save(bucket, key, meta, data, references)
        self._wake()

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        if self._mode.dual(bucket, key):
            self._keeper.mark(bucket, key)
        super().erase(bucket, key, references)
        self._wake()


class PrimaryPlane(FsPlane):
    """`kv_primary` while the files are whole: both tracks are written before the answer, rows answer reads.

    A key that is dirty, a row older than the trust floor and a missing row are answered by the file. With
    `fallback` so is an error of the store, and it fails no write; without it both fail with 503.
    """

    def __init__(
        self,
        fs: FsTrack,
        meter: Meter,
        kv: KvTrack,
        shadow: Shadow,
        fallback: bool,
        wake: Callable[[], None],
        missed: Callable[[str, str], None] | None,
    ) -> None:
        super().__init__(fs, meter)
        self._missed = missed
        self._kv = kv
        self._shadow = shadow
        self._keeper = kv.keeper
        self.fallback = fallback
        self._wake = wake

    def track(self, bucket: str, key: str) -> Track:
        return "kv"

    def load(self, bucket: str, key: str) -> bytes | None:
        if self._keeper.broken or self._keeper.is_dirty(bucket, key):
            return FsPlane.load(self, bucket, key)
        try:
            row = self._kv.get(bucket, key)
            if row is not None and row.state is not RowState.FS_RESIDENT and self._kv.trusted(row):
                self._shadow.compare_file(bucket, key)
                return row.data if row.present else None
        except KV_ERRORS as error:
            if not self.fallback:
                raise Unavailable(
                    f"{bucket}/{key}: the store does not answer ({error})", bucket, key
                ) from error
            _log.warning("read from the file instead bucket=%s key=%r error=%s", bucket, key, error)
        if self._missed is not None:
            self._missed(bucket, key)
        return FsPlane.load(self, bucket, key)

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        token = self._keeper.mark(bucket, key)
        file = self.write_file(bucket, key, data)
        try:
            self._kv.put(bucket, key, meta, data, file, references)
        except KV_ERRORS as error:
            self._left_dirty(bucket, key, error)
            return
        self._keeper.clear(token)

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        token = self._keeper.mark(bucket, key)
        self.fs.remove(bucket, key)
        try:
            self._kv.tombstone(bucket, key, RowOrigin.FS, references)
        except KV_ERRORS as error:
            self._left_dirty(bucket, key, error)
            return
        self._keeper.clear(token)

    def _left_dirty(self, bucket: str, key: str, error: Exception) -> None:
        _log.warning("row not committed, the key stays dirty bucket=%s key=%r error=%s", bucket, key, error)
        self._wake()
        if not self.fallback:
            raise Unavailable(f"{bucket}/{key}: the store takes no row ({error})", bucket, key) from error

    def objects(self, wanted: Wanted) -> Cursor[Summary]:
        if not self._listable():
            return FsPlane.objects(self, wanted)
        index = index_cursor(self._kv, wanted)
        return Overlay(index, self._dirty(wanted), lambda key: self._summary(wanted.bucket, key))

    def versions(self, wanted: Wanted) -> Cursor[XlMeta]:
        if not self._listable():
            return FsPlane.versions(self, wanted)
        rows = RowVersions(self._kv, wanted.bucket, index_cursor(self._kv, wanted))
        return Overlay(rows, self._dirty(wanted), lambda key: self._meta(wanted.bucket, key))

    def _listable(self) -> bool:
        """Whether the index is whole: before the sweep of this epoch is through, the drive lists."""
        try:
            return not self._keeper.broken and self._kv.complete()
        except KV_ERRORS:
            if not self.fallback:
                raise
            return False

    def _dirty(self, wanted: Wanted) -> list[str]:
        dirty = [key for bucket, key in self._keeper.dirty_places(sys.maxsize) if bucket == wanted.bucket]
        return between(dirty, wanted.prefix, wanted.start)

    def _meta(self, bucket: str, key: str) -> XlMeta | None:
        data = FsPlane.load(self, bucket, key)
        return None if data is None else decode_meta(data, bucket, key)

    def _summary(self, bucket: str, key: str) -> Summary | None:
        meta = self._meta(bucket, key)
        return None if meta is None else summary(meta)
