"""Bitrot framing: how content lies in a part file and in an inline entry.

    [HighwayHash-256 of the block, 32 bytes][block, at most one shard] … to the end

The key is MinIO's, the first digits of pi hashed; RustFS uses the same, but for its early releases, which had
another one and filled blocks up to an even length. A block is checked before a byte of it is given out. On a
drive that holds whole objects (one data shard) a shard is as long as the erasure block; `shard_size` and
`shard_file_size` give the lengths for wider sets. The only module that imports highwayhash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from highwayhash import highwayhash_256

from dualtrack.engine.formats.bodies import Form
from dualtrack.errors import CorruptError

HASH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Framing:
    """How blocks are hashed. `even`: one of an odd length is stored with a zero behind it."""

    key: bytes
    even: bool = False

    def stored(self, size: int) -> int:
        """Bytes that a block of `size` takes, its hash left out."""
        return size + size % 2 if self.even else size


TODAY = Framing(bytes.fromhex("4be734fa8e238acd263e83e6bb968552040f935da39f441497e09d1322de36a0"))
EARLY_RUSTFS = Framing(struct.pack("<4Q", 3, 4, 2, 1), even=True)


def framing(form: Form) -> Framing:
    """That of the content beside a body of this form. Of `V1` there is none: its hashes lie elsewhere."""
    return EARLY_RUSTFS if form is Form.RUSTFS else TODAY


ReadAt = Callable[[int, int], bytes]
"""(offset, length) → up to that many bytes of a part file."""


def shard_size(block_size: int, data_shards: int) -> int:
    """Bytes of one full block on one drive."""
    return -(-block_size // data_shards)


def shard_file_size(size: int, block_size: int, data_shards: int) -> int:
    """Bytes of content that one drive holds of a part of `size` bytes."""
    whole, rest = divmod(size, block_size)
    return whole * shard_size(block_size, data_shards) + -(-rest // data_shards)


def framed_size(size: int, shard: int, how: Framing = TODAY) -> int:
    """Length of the part file for `size` bytes of content: every block has its hash before it."""
    whole, rest = divmod(size, shard)
    return whole * (how.stored(shard) + HASH_SIZE) + (how.stored(rest) + HASH_SIZE if rest else 0)


def digest(block: bytes, key: bytes = TODAY.key) -> bytes:
    """The block's HighwayHash-256."""
    value: bytes = highwayhash_256(key, block)
    return value


def frame(data: bytes, shard: int) -> bytes:
    """Content as it is stored, in blocks of `shard` bytes. Empty content has no frame."""
    out: list[bytes] = []
    for start in range(0, len(data), shard):
        block = data[start : start + shard]
        out += (digest(block), block)
    return b"".join(out)


def unframe(data: bytes, size: int, shard: int, how: Framing = TODAY) -> bytes:
    """The content of `size` bytes. CorruptError where a length or a hash is wrong."""
    if len(data) != framed_size(size, shard, how):
        raise CorruptError(
            "part-size", f"{len(data)} bytes are stored where {framed_size(size, shard, how)} belong"
        )
    return read_range(lambda offset, length: data[offset : offset + length], size, shard, 0, size, how)


def read_range(
    read_at: ReadAt, size: int, shard: int, offset: int, length: int, how: Framing = TODAY
) -> bytes:
    """Bytes `offset` to `offset + length` of a part of `size` bytes; only the blocks touched are read and
    checked.
    """
    if not 0 <= offset <= offset + length <= size:
        raise ValueError(f"bytes {offset} to {offset + length} lie outside a part of {size}")
    if length == 0:
        return b""
    first, last = offset // shard, (offset + length - 1) // shard
    content = b"".join(_read_block(read_at, size, shard, number, how) for number in range(first, last + 1))
    start = offset - first * shard
    return content[start : start + length]


def _read_block(read_at: ReadAt, size: int, shard: int, number: int, how: Framing) -> bytes:
    expected = min(shard, size - number * shard)
    stored = read_at(number * (how.stored(shard) + HASH_SIZE), HASH_SIZE + how.stored(expected))
    block = stored[HASH_SIZE:]
    if len(block) != how.stored(expected):
        raise CorruptError(
            "part-size", f"block {number} of a part ends after {len(block)} of {expected} bytes"
        )
    if digest(block, how.key) != stored[:HASH_SIZE]:
        raise CorruptError("bitrot", f"block {number} of a part does not match its hash")
    return block[:expected]
