"""`kv_only`, and `kv_primary` on the way back from it: the row is the truth and its commit the commit point.

Files may be missing, held or old here, so nothing is ever concluded from one, except for keys whose row says
`FS_RESIDENT` (waived or quarantined): those live in their file in every mode. A row that cannot be trusted, a
missing row in a store that no sweep of this epoch has completed, and every error of the store are 503: an
empty or wrong store must never look like an empty bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.objects.cursors import RowVersions
from dualtrack.engine.objects.documents import Track, data_directories, decode_meta
from dualtrack.engine.objects.errors import ObjectError, Unavailable
from dualtrack.engine.objects.fs_track import FsTrack, meta_file
from dualtrack.engine.objects.index_check import IndexCheck
from dualtrack.engine.objects.kv_track import KV_ERRORS, NO_REFERENCES, KvTrack, References
from dualtrack.engine.objects.pages import Cursor
from dualtrack.engine.objects.plane import FsPlane, Wanted, index_cursor
from dualtrack.engine.objects.rivals import refuse_rival
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import Row, RowOrigin, RowState
from dualtrack.engine.summary import Summary


class OnlyPlane(FsPlane):
    """`kv_only`: an object of inline data touches no path at all."""

    def __init__(self, fs: FsTrack, meter: Meter, kv: KvTrack, check: IndexCheck) -> None:
        super().__init__(fs, meter)
        self.kv = kv
        self._check = check

    def track(self, bucket: str, key: str) -> Track:
        return "kv"

    def load(self, bucket: str, key: str) -> bytes | None:
        row = self._row(bucket, key)
        self._check.compare(bucket, key, row)
        if row is not None and row.state is RowState.FS_RESIDENT:
            return FsPlane.load(self, bucket, key)
        return row.data if row is not None and row.present else None

    def change(self, bucket: str, key: str) -> bytes | None:
        return self.load(bucket, key)

    def admit(self, bucket: str, key: str) -> None:
        with _answering(bucket, key):
            refuse_rival(self.kv, bucket, key)

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        with _answering(bucket, key):
            if self._resident(bucket, key):
                self.kv.put_resident(bucket, key, self.write_file(bucket, key, data))
            else:
                self.commit(bucket, key, meta, data, references)

    def commit(self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References) -> None:
        self.kv.put(bucket, key, meta, data, None, references)

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        with _answering(bucket, key):
            resident = self._resident(bucket, key)
            self.kv.tombstone(bucket, key, RowOrigin.KV, references)
        if resident:
            self.fs.remove(bucket, key)

    def objects(self, wanted: Wanted) -> Cursor[Summary]:
        with _answering(wanted.bucket, wanted.prefix):
            self._require_complete(wanted.bucket, wanted.prefix)
            return index_cursor(self.kv, wanted)

    def versions(self, wanted: Wanted) -> Cursor[XlMeta]:
        with _answering(wanted.bucket, wanted.prefix):
            self._require_complete(wanted.bucket, wanted.prefix)
            return RowVersions(self.kv, wanted.bucket, index_cursor(self.kv, wanted))

    def clear_leftovers(self, bucket: str) -> None:
        """Remove the files that cleanup has not come to yet, where a trusted tombstone says that the object
        is deleted. Any other file stays, and with it the bucket."""
        cursor = self.versions_on_drive(Wanted(bucket, "", "", 1, False))
        while (found := cursor.next()) is not None:
            row = self._row(bucket, found[0])
            if row is not None and row.state is RowState.TOMBSTONE:
                self.fs.remove(bucket, found[0])
                for data_dir in data_directories(found[1]):
                    self.fs.discard_data(bucket, found[0], data_dir)

    def _row(self, bucket: str, key: str) -> Row | None:
        """The row, if it may be believed. Anything else is `Unavailable`."""
        with _answering(bucket, key):
            row = self.kv.get(bucket, key)
            if row is None:
                self._require_complete(bucket, key)
            elif not self.kv.trusted(row):
                raise Unavailable(
                    f"{bucket}/{key}: its row is older than the trust floor; a sweep has to confirm it",
                    bucket,
                    key,
                )
            return row

    def _require_complete(self, bucket: str, key: str) -> None:
        if not self.kv.complete():
            raise Unavailable(
                f"{bucket}/{key}: no sweep of this epoch has completed the store, what it lacks may exist; "
                "is this the store of this drive?",
                bucket,
                key,
            )

    def _resident(self, bucket: str, key: str) -> bool:
        row = self.kv.get(bucket, key)
        return row is not None and row.state is RowState.FS_RESIDENT


class ReturningPlane(OnlyPlane):
    """`kv_primary/1/false` on a drive whose marker says `KvOnly` or `Purged`: on the way back.

    The row is still the truth, because not every file has been restored; each write leaves a file, too. The
    file is staged durably first, so that after the row's commit only a rename can fail. The key is dirty in
    between: a verification waits for it, and whoever starts after a crash has the file follow its row, since
    a restore may have been past it.
    """

    def commit(self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References) -> None:
        staged = self.fs.guarded(lambda: self.fs.stage_meta(data), bucket, key)
        try:
            token = self.kv.keeper.mark(bucket, key)
            self.kv.put(bucket, key, meta, data, None, references)
            status = self.fs.commit_meta(bucket, key, staged)
        except BaseException:
            self.fs.discard_staged(staged)
            raise
        self.kv.put(bucket, key, meta, data, meta_file(data, status), references)
        self.kv.keeper.clear(token)

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        with _answering(bucket, key):
            token = self.kv.keeper.mark(bucket, key)
        super().erase(bucket, key, references)
        self.fs.remove(bucket, key)
        self.kv.keeper.clear(token)

    def follow(self, bucket: str, key: str) -> None:
        """Bring the file of a dirty key up to its row, which is later. A file that may be later than the row
        is left to whoever restores or verifies. `OSError` if it cannot be done now. The caller holds the
        key's stripe."""
        row = self.kv.get(bucket, key)
        if row is None or row.origin is not RowOrigin.KV or row.state is RowState.FS_RESIDENT:
            return
        try:
            file = self.fs.read(bucket, key)
            same = file is not None and row.present and file.data == row.data
            if file is not None and not same and file.fingerprint.mtime_ns > row.mtime_ns:
                return
            if row.present:
                file = file if same else self.fs.write(bucket, key, row.data)
                self.kv.put(bucket, key, decode_meta(row.data, bucket, key), row.data, file)
            else:
                self.fs.remove(bucket, key)
        except ObjectError as error:
            raise OSError(str(error)) from error


@contextmanager
def _answering(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except KV_ERRORS as error:
        raise Unavailable(f"{bucket}/{key}: the store does not answer ({error})", bucket, key) from error
