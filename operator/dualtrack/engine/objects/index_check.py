"""Checks where rows alone answer: the two tables of the store are held against each other.

In `kv_only` there is no file to compare a read with, but the store holds each object twice: its row, and the
summary that listings show. A read that the row answered compares both, so that the consistency gate goes on
measuring after the cut-over. A difference counts only if it is still there while the row stays the same: two
reads are no transaction.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from dualtrack.engine.formats.xlmeta import decode
from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import Row, RowState, is_system
from dualtrack.engine.summary import summary
from dualtrack.errors import FormatError

_log = logging.getLogger(__name__)


class IndexCheck:
    """`ratio`: the share of reads that are checked."""

    def __init__(
        self, kv: KvTrack, meter: Meter, ratio: float, draw: Callable[[], float] = random.random
    ) -> None:
        self._kv = kv
        self._meter = meter
        self._ratio = ratio
        self._draw = draw

    def compare(self, bucket: str, key: str, row: Row | None) -> None:
        """Compare the row that answers a read with the object's entry in the index. Never fails the read."""
        resident = row is not None and row.state is RowState.FS_RESIDENT
        if resident or is_system(bucket) or self._draw() >= self._ratio:
            return
        try:
            equal = self._agree(bucket, key, row)
            if not equal and self._kv.get(bucket, key) != row:
                return
        except KV_ERRORS as error:
            _log.warning("index check failed bucket=%s key=%r error=%s", bucket, key, error)
            return
        self._meter.count("rustfs_consistency_checks_total", {})
        if not equal:
            self._meter.count("rustfs_consistency_errors_total", {})
            _log.error("the index differs from the row bucket=%s key=%r", bucket, key)

    def _agree(self, bucket: str, key: str, row: Row | None) -> bool:
        found = self._kv.keeper.scan_index(bucket, key, None, 1)
        entry = found[0][1] if found and found[0][0] == key else None
        if row is None or not row.present:
            return entry is None
        try:
            return entry == summary(decode(row.data)).pack()
        except FormatError:
            return False
