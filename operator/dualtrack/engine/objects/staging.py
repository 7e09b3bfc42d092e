"""A body on its way into an object: hashed once, framed, and flushed before anything names it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from dualtrack.engine import blake, files
from dualtrack.engine.blake import Hasher
from dualtrack.engine.formats import bitrot
from dualtrack.engine.formats.changes import BLOCK_SIZE
from dualtrack.engine.objects.trash import remove_tree
from dualtrack.engine.objects.types import Source


@dataclass(frozen=True, slots=True)
class Body:
    """A staged body. `inline` is its framed content; None if it lies in `directory` as part files. `blake3`
    is empty where nobody asked for it."""

    size: int
    md5: bytes
    data_dir: bytes
    inline: bytes | None
    directory: str
    blake3: bytes = b""

    @classmethod
    def linked(cls, size: int, directory: str) -> Body:
        """A body whose parts are further names of others' files; it gets a data directory of its own."""
        return cls(size, b"", uuid.uuid4().bytes, None, directory)

    def discard(self) -> None:
        """Remove what was staged and is not committed; what was committed is no longer there."""
        if self.directory:
            remove_tree(self.directory)


class PartWriter:
    """A part file in the making: frames blocks as they fill, hashes all of it, keeps one block in memory."""

    def __init__(self, path: str, hashers: Sequence[Hasher] = ()) -> None:
        self._hashers = hashers
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._block = bytearray()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        self._md5.update(data)
        for hasher in self._hashers:
            hasher.update(data)
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


def stage(source: Source, limit: int, new_directory: Callable[[], str], *, named: bool = False) -> Body:
    """Take in a body: in memory up to `limit` bytes, else as `part.1` in a new staging directory, durable.
    `named`: its BLAKE3 is wanted, too.

    `source.verify` has accepted it when this returns; if it raises, nothing is left behind.
    """
    data_dir = uuid.uuid4().bytes
    hasher = blake.hasher()
    head = bytearray()
    chunks = source.chunks()
    for chunk in chunks:
        head += chunk
        if len(head) > limit:
            directory = new_directory()
            os.mkdir(directory)
            try:
                path, hashers = os.path.join(directory, "part.1"), (hasher,) if named else ()
                size, md5 = write_part(path, chain((head,), chunks), source.verify, hashers)
            except BaseException:
                remove_tree(directory)
                raise
            return Body(size, md5, data_dir, None, directory, hasher.digest() if named else b"")
    source.verify()
    content = bytes(head)
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    known = blake.digest(content) if named else b""
    return Body(len(content), md5, data_dir, bitrot.frame(content, BLOCK_SIZE), "", known)


def write_part(
    path: str,
    chunks: Iterable[bytes | bytearray],
    verify: Callable[[], None],
    hashers: Sequence[Hasher] = (),
) -> tuple[int, bytes]:
    """Write a part file, durable in its content; (size, MD5) once `verify` has accepted it."""
    writer = PartWriter(path, hashers)
    try:
        for chunk in chunks:
            writer.write(chunk)
        verify()
        return writer.size, writer.finish()
    finally:
        writer.close()
