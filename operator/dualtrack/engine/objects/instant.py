"""Instant upload (秒传): an object made of content that is on the drive already, without its bytes.

A client names the BLAKE3 and the size of what it would send. Where a version that this credential may read
has just that content, the new object gets it: inline content is copied into its row, other content is linked
into a data directory of its own. So no two objects ever share a directory, any server reads each of them, and
a deletion takes away one name of a file that the others keep. The file system counts the names.

What is believed is looked at: the version that a reference names is read under its object's lock, has to be
a plain one of this hash and size, and inline content is hashed again. A 256-bit hash that nobody can forge
stands for the comparison of bytes that are not there to compare.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from dualtrack.engine import blake, files
from dualtrack.engine.attributes import is_inline
from dualtrack.engine.formats import bitrot
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.versions import Version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.objects.documents import decode_meta
from dualtrack.engine.objects.errors import ObjectError, UnknownContent
from dualtrack.engine.objects.fs_track import unavailable
from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.objects.plane import Plane
from dualtrack.engine.objects.references import Reference, content_of, prefix
from dualtrack.engine.objects.sealing import why_undecodable
from dualtrack.engine.objects.staging import Body, stage
from dualtrack.engine.objects.types import Content, Meter
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import CorruptError

_log = logging.getLogger(__name__)
_LOOKED_AT = 16


class Lock(Protocol):
    def __call__(self, bucket: str, key: str) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Staged content, with the ETag that its bytes have."""

    body: Body
    etag: str


class KnownContent:
    def __init__(self, kv: KvTrack, plane: Plane, lock: Lock, meter: Meter) -> None:
        self._kv = kv
        self._plane = plane
        self._lock = lock
        self._meter = meter

    def take(self, content: Content, bucket: str, key: str, limit: int) -> Found:
        """Stage what a new object of this content needs; inline up to `limit` bytes. `UnknownContent` where
        no version has it, or none that can be used."""
        for name, reference in self._references(content, bucket, key):
            try:
                found = self._use(reference, content, limit)
            except (ObjectError, CorruptError) as error:
                _log.warning("known content cannot be used version=%s error=%s", reference, error)
                continue
            if found is not None:
                self._meter.count("rustfs_instant_upload_hits_total", {})
                return found
            self._forget(name)
        self._meter.count("rustfs_instant_upload_misses_total", {})
        raise UnknownContent("no object of this content and size is known here; upload it", bucket, key)

    def count(self, blake3: str) -> int:
        """How many references there are to a content."""
        return sum(1 for _ in self._scan(blake3, 1000))

    def _references(self, content: Content, bucket: str, key: str) -> Iterator[tuple[str, Reference]]:
        try:
            found = self._kv.keeper.meta_scan(prefix(content.blake3), None, _LOOKED_AT)
        except KV_ERRORS as error:
            # Nobody knows: the client uploads, and is told there how the store is.
            _log.warning("references not read error=%s", error)
            return
        for name, value in found:
            yield name, Reference.unpack(value)

    def _scan(self, blake3: str, batch: int) -> Iterator[str]:
        after: str | None = None
        while page := self._kv.keeper.meta_scan(prefix(blake3), after, batch):
            yield from (name for name, _ in page)
            after = page[-1][0]

    def _use(self, reference: Reference, content: Content, limit: int) -> Found | None:
        """Stage the content of the version that is referred to; None if it has it no longer. An error where
        it has it and it cannot be used: the reference stays."""
        with self._lock(reference.bucket, reference.key):
            data = self._plane.change(reference.bucket, reference.key)
            meta = decode_meta(data, reference.bucket, reference.key) if data is not None else None
            version = _version(meta, reference)
            if meta is None or version is None or content_of(version) != content.blake3:
                return None
            body = version.body
            if not isinstance(body, ObjectBody) or why_undecodable(body) is not None:
                return None
            if body.size != content.size or body.part_nums != (1,):
                raise UnknownContent(f"it has {body.size} bytes", reference.bucket, reference.key)
            etag = body.meta_user.get("etag", "")
            entry = meta.inline.get(version.version_key)
            if entry is not None and is_inline(body, True):
                bytes_of = bitrot.unframe(entry, body.size, body.ec_block_size)
                if blake.digest(bytes_of).hex() != content.blake3:
                    raise CorruptError("content", "it has not the hash that its metadata say")
                return Found(stage(_Held(bytes_of), limit, self._plane.fs.trash.new_staging), etag)
            return self._linked(reference, body, etag)

    def _linked(self, reference: Reference, body: ObjectBody, etag: str) -> Found:
        source = self._plane.fs.data_directory(reference.bucket, reference.key, body.data_dir)
        part = os.path.join(source, "part.1")
        directory = self._plane.fs.trash.new_staging()
        staged = Body.linked(body.size, directory)
        try:
            if os.stat(part).st_size != bitrot.framed_size(body.size, body.ec_block_size):
                raise CorruptError("part-size", f"{part} has not the size that its metadata say")
            os.mkdir(directory)
            files.link(part, os.path.join(directory, "part.1"))
        except OSError as error:
            # Missing, or it has as many names as a file may have: another reference may do.
            staged.discard()
            raise unavailable(error, reference.bucket, reference.key) from error
        return Found(staged, etag)

    def _forget(self, name: str) -> None:
        """Remove a reference that leads nowhere."""
        try:
            self._kv.keeper.commit(Batch(meta={name: None}))
        except KV_ERRORS as error:
            _log.info("reference not removed name=%s error=%s", name, error)


def _version(meta: XlMeta | None, reference: Reference) -> Version | None:
    versions = meta.versions if meta is not None else ()
    return next((each for each in versions if each.version_key == reference.version), None)


@dataclass(frozen=True, slots=True)
class _Held:
    """Bytes that are here, as the body of a request."""

    data: bytes

    def chunks(self) -> Iterator[bytes]:
        yield self.data

    def verify(self) -> None:
        return
