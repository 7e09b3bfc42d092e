"""Shadow reads: what answered a read, the file or the row, is compared with the other.

Only what can be judged is judged: not a key whose file changed and is not drained yet, not a row below the
trust floor, not a missing row before a sweep of this epoch has seen the whole drive. A difference counts only
if it is still there after both sides were read again with the key clean all the while: two reads are no
transaction.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import decode
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import Row, RowState
from dualtrack.errors import FormatError

_log = logging.getLogger(__name__)


class Shadow:
    def __init__(
        self,
        kv: KvTrack,
        read_file: Callable[[str, str], MetaFile | None],
        meter: Meter,
        ratio: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._kv = kv
        self._read_file = read_file
        self._meter = meter
        self._ratio = ratio
        self._draw = draw

    def compare(self, bucket: str, key: str, file: MetaFile | None) -> None:
        """Compare the file that a read has just found with the row. Never fails the read."""
        if self._draw() < self._ratio:
            self._compare(bucket, key, file)

    def compare_file(self, bucket: str, key: str) -> None:
        """The same after a read that the row answered: the file is read for it."""
        if self._draw() < self._ratio:
            self._compare(bucket, key, self._read_file(bucket, key))

    def _compare(self, bucket: str, key: str, file: MetaFile | None) -> None:
        try:
            equal = self._judge(bucket, key, file)
            if equal is False:
                equal = self._judge(bucket, key, self._read_file(bucket, key))
        except KV_ERRORS as error:
            _log.warning("shadow read failed bucket=%s key=%r error=%s", bucket, key, error)
            return
        if equal is None:
            return
        self._meter.count("rustfs_consistency_checks_total", {})
        if not equal:
            self._meter.count("rustfs_consistency_errors_total", {})
            _log.error("the row differs from the file bucket=%s key=%r", bucket, key)

    def _judge(self, bucket: str, key: str, file: MetaFile | None) -> bool | None:
        """Whether both sides agree; None where that cannot be said now."""
        if self._unsettled(bucket, key):
            return None
        verdict = judge(self._kv, self._kv.get(bucket, key), file)
        if verdict is False and (self._unsettled(bucket, key) or self._moved(bucket, key, file)):
            return None
        return verdict

    def _unsettled(self, bucket: str, key: str) -> bool:
        keeper = self._kv.keeper
        return keeper.broken or keeper.is_dirty(bucket, key)

    def _moved(self, bucket: str, key: str, file: MetaFile | None) -> bool:
        return self._read_file(bucket, key) != file


def judge(kv: KvTrack, row: Row | None, file: MetaFile | None) -> bool | None:
    """Whether row and file say the same; None where the row does not count: below the trust floor, in its
    file by intent, or missing before a sweep has seen the whole drive."""
    if row is None:
        return None if not kv.complete() else file is None
    if row.state is RowState.FS_RESIDENT or not kv.trusted(row):
        return None
    return _agree(row, file)


def _agree(row: Row, file: MetaFile | None) -> bool:
    if file is None or not row.present:
        return file is None and not row.present
    if row.data == file.data:
        return True
    try:
        return decode(row.data).versions == decode(file.data).versions
    except FormatError:
        return False
