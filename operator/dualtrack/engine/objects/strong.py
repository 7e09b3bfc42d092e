"""`strong`: a write is answered when file and row both have it, and a read compares both.

A write has one commit point, its durable intent (`intents.py`). A failure before it leaves nothing behind. A
failure after it is answered with 503, and the write takes effect all the same: with the next request for the
key, the next step of the drain, or the next start, whichever comes first. There is no fallback: where one
track cannot be asked, a key that is on both is not available.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.journal import Token
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.dual import DualPlane, PrimaryPlane
from dualtrack.engine.objects.errors import InvalidKey, NoSuchBucket, Unavailable
from dualtrack.engine.objects.fs_track import FsTrack, meta_file
from dualtrack.engine.objects.intents import Intent, carry_out, file_there, settle
from dualtrack.engine.objects.kv_track import KV_ERRORS, NO_REFERENCES, KvTrack, References
from dualtrack.engine.objects.plane import FsPlane
from dualtrack.engine.objects.shadow import judge
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import RowDraft, RowOrigin

_log = logging.getLogger(__name__)
_GLANCES = 3


class _OnBoth(FsPlane):
    """What differs from the same plane at the level `eventual`: the keys that are on both tracks."""

    both: BothTracks

    def on_both(self, bucket: str, key: str) -> bool:
        return self.track(bucket, key) != "fs"

    def load(self, bucket: str, key: str) -> bytes | None:
        if not self.on_both(bucket, key):
            return super().load(bucket, key)
        return self.both.load(bucket, key)

    def change(self, bucket: str, key: str) -> bytes | None:
        if self.on_both(bucket, key):
            self.both.settle(bucket, key)
        return super().change(bucket, key)

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        if self.on_both(bucket, key):
            self.both.save(bucket, key, meta, data, references)
        else:
            super().save(bucket, key, meta, data, references)

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        if self.on_both(bucket, key):
            self.both.erase(bucket, key, references)
        else:
            super().erase(bucket, key, references)


class StrongDualPlane(_OnBoth, DualPlane):
    """`fs` with a ratio."""


class StrongPrimaryPlane(_OnBoth, PrimaryPlane):
    """`kv_primary`."""


class BothTracks:
    """Reads and writes of keys that are on both tracks. `draft` is what the drain reads files with."""

    def __init__(
        self,
        fs: FsTrack,
        meter: Meter,
        kv: KvTrack,
        read_file: Callable[[str, str], MetaFile | None],
        draft: Callable[[str, str], RowDraft | None],
    ) -> None:
        self._fs = fs
        self._meter = meter
        self._kv = kv
        self._keeper = kv.keeper
        self._read_file = read_file
        self._draft = draft

    # -- writing: the caller holds the key's stripe --------------------------------------------------------

    def settle(self, bucket: str, key: str) -> None:
        """Carry out what an earlier write of the key left, before anything is built on its file."""
        settle(self._fs, self._keeper, bucket, key)

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        staged = self._fs.guarded(lambda: self._fs.stage_meta(data), bucket, key)
        try:
            self._fs.guarded(self._fs.trash.sync, bucket, key)
            intent = Intent(staged.rpartition("/")[2], file_there(self._fs, bucket, key))
            token = self._intend(bucket, key, intent)
        except BaseException:
            self._fs.discard_staged(staged)
            raise
        began = time.perf_counter()
        done = self._carry_out(token)
        self._meter.observe("rustfs_fs_write_latency_ms", (time.perf_counter() - began) * 1000, {})
        status = self._fs.status(bucket, key)
        if status is None or not done:
            raise Unavailable(f"{bucket}/{key}: somebody else changes its file", bucket, key)
        self._row(token, lambda: self._kv.put(bucket, key, meta, data, meta_file(data, status), references))

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        token = self._intend(bucket, key, Intent("", file_there(self._fs, bucket, key)))
        self._carry_out(token)
        self._row(token, lambda: self._kv.tombstone(bucket, key, RowOrigin.FS, references))

    def _intend(self, bucket: str, key: str, intent: Intent) -> Token:
        try:
            return self._keeper.intend(bucket, key, intent.pack())
        except KV_ERRORS as error:
            raise Unavailable(f"{bucket}/{key}: nothing was written ({error})", bucket, key) from error

    def _carry_out(self, token: Token) -> bool:
        try:
            done = carry_out(self._fs, token)
        except (InvalidKey, NoSuchBucket):
            self._keeper.clear(token)
            raise
        self._keeper.carried_out(token)
        return done

    def _row(self, token: Token, commit: Callable[[], None]) -> None:
        try:
            commit()
        except KV_ERRORS as error:
            raise Unavailable(
                f"{token.bucket}/{token.key}: its file is written, but the store takes no row ({error})",
                *token.place,
            ) from error
        self._keeper.clear(token)

    # -- reading -------------------------------------------------------------------------------------------

    def load(self, bucket: str, key: str) -> bytes | None:
        """The metadata, once file and row say the same. `Unavailable` where they differ, or one does not
        answer."""
        try:
            for _ in range(_GLANCES):
                if self._keeper.is_dirty(bucket, key):
                    self._keeper.drain(self._draft, 1, [(bucket, key)])
                file = self._read_file(bucket, key)
                if self._agree(bucket, key, file):
                    break
            else:
                with self._keeper.locked([(bucket, key)]):
                    file = self._read_file(bucket, key)
                    if not self._agree(bucket, key, file):
                        self._differ(bucket, key)
        except KV_ERRORS as error:
            raise Unavailable(f"{bucket}/{key}: the store does not answer ({error})", bucket, key) from error
        self._meter.count("rustfs_consistency_checks_total", {})
        return None if file is None else file.data

    def _agree(self, bucket: str, key: str, file: MetaFile | None) -> bool:
        """True, too, where the row does not count yet: the file alone is the object then."""
        if self._keeper.broken:
            return True
        row = self._kv.get(bucket, key)
        return not self._keeper.is_dirty(bucket, key) and judge(self._kv, row, file) is not False

    def _differ(self, bucket: str, key: str) -> None:
        """With the stripe held nobody changes either side: this is no race."""
        if self._keeper.is_dirty(bucket, key):
            raise Unavailable(f"{bucket}/{key}: its row is not up to its file yet; try again", bucket, key)
        self._meter.count("rustfs_consistency_checks_total", {})
        self._meter.count("rustfs_consistency_errors_total", {})
        _log.error("the row differs from the file bucket=%s key=%r", bucket, key)
        raise Unavailable(
            f"{bucket}/{key}: file and row differ, and `strong` answers with neither; see `dualtrack engine "
            "verify`",
            bucket,
            key,
        )
