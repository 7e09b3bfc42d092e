"""Objects of the system volume: files in every mode, with a row beside them as a backup.

The servers read these files at their start, in every mode, so the file is always the truth and is written
first. The row follows at once; if it cannot, the key stays dirty and the drain brings it later, except beyond
`KvOnly`, where the next write or sweep does.
"""

from __future__ import annotations

import logging

from dualtrack.engine.formats.xlmeta import XlMeta, encode
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.rows import RowOrigin

_log = logging.getLogger(__name__)


class SystemVolume:
    def __init__(self, fs: FsTrack, volume: str, kv: KvTrack | None) -> None:
        self.fs = fs
        self.volume = volume
        self._kv = kv

    def save(self, key: str, meta: XlMeta) -> None:
        data = encode(meta)
        token = self._kv.keeper.mark(self.volume, key) if self._kv else None
        file = self.fs.write(self.volume, key, data)
        if self._kv is not None:
            try:
                self._kv.put(self.volume, key, meta, data, file)
                self._kv.keeper.clear(token)
            except KV_ERRORS as error:
                _log.warning("no backup row bucket=%s key=%s error=%s", self.volume, key, error)

    def erase(self, key: str) -> None:
        token = self._kv.keeper.mark(self.volume, key) if self._kv else None
        self.fs.remove(self.volume, key)
        if self._kv is not None:
            try:
                self._kv.tombstone(self.volume, key, RowOrigin.FS)
                self._kv.keeper.clear(token)
            except KV_ERRORS as error:
                _log.warning("no backup row bucket=%s key=%s error=%s", self.volume, key, error)
