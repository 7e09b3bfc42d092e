"""Stat and read: which version a request means, and its bytes, each block checked before it is given out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from dualtrack.engine import attributes
from dualtrack.engine.formats import bitrot
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.objects.documents import Track, decode_meta, describe, version_bytes
from dualtrack.engine.objects.errors import (
    InvalidRange,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    Unavailable,
    Undecodable,
)
from dualtrack.engine.objects.plane import Plane
from dualtrack.engine.objects.sealing import why_undecodable
from dualtrack.engine.objects.types import Span, Stored
from dualtrack.errors import CorruptError

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Chosen:
    meta: XlMeta
    version: Version
    stored: Stored


def choose(
    data: bytes | None, bucket: str, key: str, version_id: str | None, *, versioned: bool, track: Track
) -> Chosen:
    """The version that a request means. Without a version id a delete marker is `NoSuchKey`; named by its id
    it is described, and the caller decides what that means."""
    meta = None if data is None else decode_meta(data, bucket, key)
    if meta is None or not meta.versions:
        if version_id is not None:
            version_bytes(version_id)
            raise NoSuchVersion(f"{bucket}/{key} has no version {version_id}", bucket, key)
        raise NoSuchKey(f"there is no object {bucket}/{key}", bucket, key)
    version = pick(meta, bucket, key, version_id)
    latest = version is meta.versions[0]
    if version_id is None and (not version.kind.is_object or attributes.is_purging(version.body)):
        raise NoSuchKey(
            f"{bucket}/{key} is deleted: a delete marker is its current version",
            bucket,
            key,
            version.version_key,
        )
    return Chosen(
        meta, version, describe(bucket, key, version, latest=latest, versioned=versioned, track=track)
    )


def pick(meta: XlMeta, bucket: str, key: str, version_id: str | None) -> Version:
    if version_id is None:
        return meta.versions[0]
    found = meta.find(version_bytes(version_id))
    if found is None or found.kind is Kind.FREE_VERSION or attributes.is_purging(found.body):
        raise NoSuchVersion(f"{bucket}/{key} has no version {version_id}", bucket, key)
    return found


class Reader:
    """Reads through one plane. `versioned` says whether a bucket has versions to show."""

    def __init__(self, plane: Plane, versioned: Callable[[str], bool]) -> None:
        self._plane = plane
        self._versioned = versioned

    def stat(self, bucket: str, key: str, version_id: str | None) -> Stored:
        return self._choose(bucket, key, version_id).stored

    def _choose(self, bucket: str, key: str, version_id: str | None) -> Chosen:
        versioned = self._versioned(bucket)
        data = self._plane.load(bucket, key)
        track = self._plane.track(bucket, key)
        return choose(data, bucket, key, version_id, versioned=versioned, track=track)

    def read(
        self, bucket: str, key: str, version_id: str | None, span: Span | None
    ) -> tuple[Stored, Iterator[bytes]]:
        """A version and the bytes of `span`. Where the content was replaced between reading the metadata and
        opening it, the newer metadata are read."""
        for _ in range(_ATTEMPTS):
            chosen = self._choose(bucket, key, version_id)
            try:
                return chosen.stored, self._open(chosen, span)
            except FileNotFoundError as error:
                missing = error
            if self._plane.change(bucket, key) is not None and self._same(chosen, bucket, key):
                break
        raise Unavailable(
            f"{bucket}/{key}: a part of version {chosen.stored.version_id} is not on the drive ({missing})",
            bucket,
            key,
        ) from missing

    def _same(self, chosen: Chosen, bucket: str, key: str) -> bool:
        data = self._plane.load(bucket, key)
        return data is not None and data == chosen.meta.source

    def _open(self, chosen: Chosen, span: Span | None) -> Iterator[bytes]:
        stored, body = chosen.stored, chosen.version.body
        if not isinstance(body, ObjectBody):
            raise MethodNotAllowed(
                f"version {stored.version_id} of {stored.bucket}/{stored.key} is a delete marker",
                stored.bucket,
                stored.key,
                stored.version_id,
            )
        offset, length = 0, stored.size
        if span is not None:
            resolved = span.resolve(stored.size)
            if resolved is None:
                raise InvalidRange(
                    f"{stored.bucket}/{stored.key} has {stored.size} bytes; the range lies outside",
                    stored.bucket,
                    stored.key,
                    stored.size,
                )
            offset, length = resolved
        reason = why_undecodable(body)
        if reason is not None:
            raise Undecodable(
                f"{stored.bucket}/{stored.key} cannot be read here: {reason}", stored.bucket, stored.key
            )
        entry = chosen.meta.inline_entry(chosen.version)
        if attributes.is_inline(body, entry is not None) and entry is not None:
            return _inline(entry, body, offset, length, stored)
        return _Parts(self._plane, stored, body, offset, length)


def _inline(entry: bytes, body: ObjectBody, offset: int, length: int, stored: Stored) -> Iterator[bytes]:
    try:
        content = bitrot.unframe(entry, body.size, body.ec_block_size, bitrot.framing(body.form))
    except CorruptError as error:
        raise _damaged(stored, error) from error
    return iter((content[offset : offset + length],)) if length else iter(())


def _damaged(stored: Stored, error: CorruptError) -> Unavailable:
    return Unavailable(
        f"version {stored.version_id} of {stored.bucket}/{stored.key} is damaged on the drive: {error}",
        stored.bucket,
        stored.key,
    )


class _Parts(Iterator[bytes]):
    """The bytes of a span over part files, block by block.

    The first part is opened at once, so that a missing one is known before anything was answered; `close` (or
    the end) releases the data directory.
    """

    def __init__(self, plane: Plane, stored: Stored, body: ObjectBody, offset: int, length: int) -> None:
        self._stored = stored
        self._directory = plane.fs.data_directory(stored.bucket, stored.key, body.data_dir)
        self._held = ExitStack()
        self._held.enter_context(plane.fs.trash.reading(self._directory))
        self._pieces = _pieces(body, offset, length)
        self._framing = bitrot.framing(body.form)
        self._open: tuple[int, int] | None = None
        self._trash = plane.fs.trash
        try:
            self._next = next(self._pieces, None)
            if self._next is not None:
                self._descriptor(self._next[0])
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        if self._next is None:
            self.close()
            raise StopIteration
        number, size, shard, offset, length = self._next
        try:
            descriptor = self._descriptor(number)
            data = bitrot.read_range(
                lambda place, count: _pread(descriptor, count, place),
                size,
                shard,
                offset,
                length,
                self._framing,
            )
            self._next = next(self._pieces, None)
        except CorruptError as error:
            self.close()
            raise _damaged(self._stored, error) from error
        except OSError as error:
            self.close()
            raise Unavailable(
                f"{self._stored.bucket}/{self._stored.key}: {error}", self._stored.bucket, self._stored.key
            ) from error
        return data

    def _descriptor(self, number: int) -> int:
        if self._open is not None and self._open[0] == number:
            return self._open[1]
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        self._open = (number, self._trash.open_part(self._directory, number))
        return self._open[1]

    def close(self) -> None:
        self._next = None
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        self._held.close()

    def __del__(self) -> None:
        self.close()


def _pread(descriptor: int, count: int, place: int) -> bytes:
    pieces = []
    while count and (piece := os.pread(descriptor, count, place)):
        pieces.append(piece)
        count -= len(piece)
        place += len(piece)
    return b"".join(pieces)


def _pieces(body: ObjectBody, offset: int, length: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(part number, its size, block size, offset in it, length), at most one block each, for a span."""
    block = body.ec_block_size
    for number, size in zip(body.part_nums, body.part_sizes, strict=True):
        if length and offset < size:
            end = min(size, offset + length)
            length -= end - offset
            while offset < end:
                count = min(block - offset % block, end - offset)
                yield number, size, block, offset, count
                offset += count
            offset = 0
        else:
            offset = max(0, offset - size)
