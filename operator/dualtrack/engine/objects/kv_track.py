"""The key-value track: one object's row, by way of the store's owner.

Every failure of the store, of its lock and of its fence is one of `KV_ERRORS`; what follows from it (the file
system answers, or 503) is the plane's decision, not made here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.journal import Token
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.cache import RowCache
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowDraft, RowOrigin, RowState, is_system
from dualtrack.engine.stores.protocol import Batch, BatchResult, Outcome, Place, Put, StoreStats
from dualtrack.engine.summary import Summary, summary
from dualtrack.errors import RefusedError, StoreError

KV_ERRORS = (StoreError, RefusedError)
FILE_MODE = 0o644

References = Mapping[str, bytes | None]
"""Meta values that change with a row (see `references`)."""

NO_REFERENCES: References = MappingProxyType({})


class Keeper(Protocol):
    """What the object layer needs of the store's owner."""

    def next_generation(self) -> Generation: ...

    def commit(self, batch: Batch) -> BatchResult: ...

    def get_many(self, places: Sequence[Place]) -> list[Row | None]: ...

    def scan_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, bytes]]: ...

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]: ...

    def meta(self, name: str) -> bytes | None: ...

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]: ...

    def dirty(self, places: Iterable[Place]) -> set[Place]: ...

    def locked(self, places: Iterable[Place]) -> AbstractContextManager[None]: ...

    def trust_floor(self) -> Generation: ...

    def stats(self) -> StoreStats: ...

    @property
    def broken(self) -> bool: ...

    def mark(self, bucket: str, key: str) -> Token | None: ...

    def clear(self, *tokens: Token | None) -> None: ...

    def intend(self, bucket: str, key: str, intent: bytes) -> Token: ...

    def intents(self, bucket: str, key: str) -> list[Token]: ...

    def carried_out(self, token: Token) -> None: ...

    def is_dirty(self, bucket: str, key: str) -> bool: ...

    def dirty_places(self, limit: int) -> list[Place]: ...

    def awaited(self) -> list[Place]: ...

    def dirty_since(self, moment: float) -> list[Place]: ...

    def drain(
        self,
        read: Callable[[str, str], RowDraft | None],
        limit: int,
        chosen: Sequence[Place] | None = None,
        follow: Callable[[str, str], None] | None = None,
    ) -> int: ...


class KvTrack:
    """`cache` holds rows that were read lately; None where rows answer no reads."""

    def __init__(self, keeper: Keeper, epoch: int, meter: Meter, cache: RowCache | None = None) -> None:
        self.keeper = keeper
        self.cache = cache
        self._epoch = epoch
        self._meter = meter
        self._complete = False

    def get(self, bucket: str, key: str) -> Row | None:
        if self.cache is None:
            return self._get(bucket, key)
        place = bucket, key
        row = self.cache.get(place)
        if row is not None:
            self._meter.count("rustfs_metadata_cache_hits_total", {})
            return row
        self._meter.count("rustfs_metadata_cache_misses_total", {})
        state = self.cache.state(place)
        row = self._get(bucket, key)
        if row is not None:
            self.cache.put(place, row, state)
        return row

    def _get(self, bucket: str, key: str) -> Row | None:
        began = time.perf_counter()
        row = self.keeper.get_many([(bucket, key)])[0]
        self._meter.observe("rustfs_kv_read_latency_ms", (time.perf_counter() - began) * 1000, {})
        return row

    def trusted(self, row: Row) -> bool:
        """Whether the row was written since the trust floor was last raised, so that it may be served."""
        return row.generation >= self.keeper.trust_floor()

    def complete(self) -> bool:
        """Whether a sweep of this epoch has seen the whole drive, so that a missing row means no object."""
        if not self._complete:
            swept = self.keeper.meta("swept_epoch")
            self._complete = swept is not None and int(swept) >= self._epoch
        return self._complete

    def put(
        self,
        bucket: str,
        key: str,
        meta: XlMeta,
        data: bytes,
        file: MetaFile | None,
        references: References = NO_REFERENCES,
    ) -> None:
        """Commit the row of an object; `file` None means that no file holds these bytes (origin KV).
        `references` change in the same transaction.

        The caller holds the object's stripe lock. Durable on return.
        """
        self._commit(bucket, key, draft_of(bucket, meta, data, file), references)

    def put_resident(self, bucket: str, key: str, file: MetaFile) -> None:
        """Record that the object is to be read from its file in every mode."""
        self._commit(bucket, key, resident_draft(file))

    def tombstone(
        self, bucket: str, key: str, origin: RowOrigin, references: References = NO_REFERENCES
    ) -> None:
        row = Row.tombstone(bucket, key, self.keeper.next_generation(), origin)
        if origin is RowOrigin.KV:
            # Cleanup has to know which file this deletes: any that is not younger.
            row = replace(row, mtime_ns=time.time_ns())
        self._send(Put(row, b"", "any", 0), references)

    def _commit(self, bucket: str, key: str, draft: RowDraft, references: References = NO_REFERENCES) -> None:
        row = Row.of(bucket, key, self.keeper.next_generation(), draft)
        self._send(Put(row, draft.summary, "any", draft.versions), references)

    def _send(self, put: Put, references: References) -> None:
        began = time.perf_counter()
        outcome = self.keeper.commit(Batch(puts=(put,), meta=references)).outcomes[0]
        self._meter.observe("rustfs_kv_write_latency_ms", (time.perf_counter() - began) * 1000, {})
        if outcome not in (Outcome.APPLIED, Outcome.SAME):
            raise StoreError(
                f"{put.row.bucket}/{put.row.key}: its row was not stored ({outcome.name}); write it again"
            )


def draft_of(bucket: str, meta: XlMeta, data: bytes, file: MetaFile | None) -> RowDraft:
    """The row of decoded metadata, with what its file says apart from them."""
    packed = b"" if is_system(bucket) else summary(meta).pack()
    versions = len(meta.versions)
    if file is None:
        owner, group = os.geteuid(), os.getegid()
        return RowDraft(
            NO_FILE,
            FILE_MODE,
            owner,
            group,
            time.time_ns(),
            data,
            packed,
            origin=RowOrigin.KV,
            versions=versions,
        )
    status = file.fingerprint
    return RowDraft(
        status,
        file.mode,
        file.uid,
        file.gid,
        status.mtime_ns,
        data,
        packed,
        versions=versions,
        name=file.name,
    )


def resident_draft(file: MetaFile) -> RowDraft:
    """The row of a file that cannot be decoded, or was waived: it says "read the file"."""
    status = file.fingerprint
    return RowDraft(
        status,
        file.mode,
        file.uid,
        file.gid,
        status.mtime_ns,
        file.data,
        b"",
        RowState.FS_RESIDENT,
        name=file.name,
    )
