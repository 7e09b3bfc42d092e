"""A body on its way into an object: hashed once, framed, and flushed before anything names it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from dualtrack.engine import files
from dualtrack.engine.formats import bitrot
from dualtrack.engine.formats.changes import BLOCK_SIZE
from dualtrack.engine.objects.trash import remove_tree
from dualtrack.engine.objects.types import Source

INLINE_LIMIT = 128 * 1024
INLINE_LIMIT_VERSIONED = INLINE_LIMIT // 8
"""MinIO's limits on one data shard: up to and with these sizes content lies in the metadata."""


@dataclass(frozen=True, slots=True)
class Body:
    """A staged body. `inline` is its framed content; None if it lies in `directory` as part files."""

    size: int
    md5: bytes
    data_dir: bytes
    inline: bytes | None
    directory: str

    def discard(self) -> None:
        """Remove what was staged and is not committed; what was committed is no longer there."""
        if self.directory:
            remove_tree(self.directory)


class PartWriter:
    """A part file in the making: frames blocks as they fill, hashes all of it, keeps one block in memory."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._block = bytearray()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        self._md5.update(data)
        self.size += len(data)
        self._block += data
        while len(self._block) >= BLOCK_SIZE:
            self._flush(bytes(self._block[:BLOCK_SIZE]))
            del self._block[:BLOCK_SIZE]

    def _flush(self, block: bytes) -> None:
        files.write_all(self._descriptor, bitrot.frame(block, BLOCK_SIZE))

    def finish(self) -> bytes:
        """Write what is left and make the file's content durable; answers the MD5."""
        if self._block:
            self._flush(bytes(self._block))
            self._block.clear()
        os.fsync(self._descriptor)
        return self._md5.digest()

    def close(self) -> None:
        os.close(self._descriptor)


def stage(source: Source, limit: int, new_directory: Callable[[], str]) -> Body:
    """Take in a body: in memory up to `limit` bytes, else as `part.1` in a new staging directory, durable.

    `source.verify` has accepted it when this returns; if it raises, nothing is left behind.
    """
    data_dir = uuid.uuid4().bytes
    head = bytearray()
    chunks = source.chunks()
    for chunk in chunks:
        head += chunk
        if len(head) > limit:
            directory = new_directory()
            os.mkdir(directory)
            try:
                size, md5 = write_part(
                    os.path.join(directory, "part.1"), chain((head,), chunks), source.verify
                )
            except BaseException:
                remove_tree(directory)
                raise
            return Body(size, md5, data_dir, None, directory)
    source.verify()
    content = bytes(head)
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return Body(len(content), md5, data_dir, bitrot.frame(content, BLOCK_SIZE), "")


def write_part(
    path: str, chunks: Iterable[bytes | bytearray], verify: Callable[[], None]
) -> tuple[int, bytes]:
    """Write a part file, durable in its content; (size, MD5) once `verify` has accepted it."""
    writer = PartWriter(path)
    try:
        for chunk in chunks:
            writer.write(chunk)
        verify()
        return writer.size, writer.finish()
    finally:
        writer.close()
