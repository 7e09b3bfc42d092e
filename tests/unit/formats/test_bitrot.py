"""Bitrot framing."""

from __future__ import annotations

import struct

import pytest
from highwayhash import highwayhash_256

from dualtrack.engine.formats import bitrot
from dualtrack.engine.formats.bodies import Form
from dualtrack.errors import CorruptError

SHARD = 100


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 250])
def test_what_was_framed_comes_back(size: int) -> None:
    data = bytes(range(256))[:size]
    framed = bitrot.frame(data, SHARD)
    assert len(framed) == bitrot.framed_size(size, SHARD)
    assert bitrot.unframe(framed, size, SHARD) == data


@pytest.mark.parametrize("position", [0, 31, 32, 131, 132, 200, 313])
def test_any_changed_byte_is_found(position: int) -> None:
    framed = bytearray(bitrot.frame(bytes(250), SHARD))
    framed[position] ^= 0x10
    with pytest.raises(CorruptError) as caught:
        bitrot.unframe(bytes(framed), 250, SHARD)
    assert caught.value.reason == "bitrot"


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_length_is_found(change: int) -> None:
    framed = bitrot.frame(bytes(250), SHARD)
    with pytest.raises(CorruptError) as caught:
        bitrot.unframe((framed + b"\0")[: len(framed) + change], 250, SHARD)
    assert caught.value.reason == "part-size"


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 250), (0, 1), (99, 2), (100, 100), (150, 100), (249, 1), (7, 0)]
)
def test_a_range_is_read_from_its_blocks_only(offset: int, length: int) -> None:
    data = bytes(index % 251 for index in range(250))
    framed = bitrot.frame(data, SHARD)
    reads: list[tuple[int, int]] = []

    def read_at(start: int, count: int) -> bytes:
        reads.append((start, count))
        return framed[start : start + count]

    assert bitrot.read_range(read_at, 250, SHARD, offset, length) == data[offset : offset + length]
    blocks = len(range(offset // SHARD, (offset + length - 1) // SHARD + 1)) if length else 0
    assert len(reads) == blocks


def test_damage_outside_the_range_does_not_matter_and_inside_it_does() -> None:
    framed = bytearray(bitrot.frame(bytes(250), SHARD))
    framed[-1] ^= 1

    def read_at(start: int, count: int) -> bytes:
        return bytes(framed[start : start + count])

    assert bitrot.read_range(read_at, 250, SHARD, 0, 200) == bytes(200)
    with pytest.raises(CorruptError):
        bitrot.read_range(read_at, 250, SHARD, 199, 2)


def test_a_part_file_that_ends_early_is_damage() -> None:
    with pytest.raises(CorruptError) as caught:
        bitrot.read_range(lambda start, count: b"", 250, SHARD, 0, 1)
    assert caught.value.reason == "part-size"


def test_a_range_outside_the_part_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="outside"):
        bitrot.read_range(lambda start, count: b"", 250, SHARD, 200, 51)


def test_shards_of_a_wider_set() -> None:
    assert bitrot.shard_size(1_048_576, 3) == 349_526
    assert bitrot.shard_file_size(2 * 1_048_576 + 5, 1_048_576, 2) == 2 * 524_288 + 3


@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 47, 48, 49])
def test_the_framing_of_early_rustfs_fills_odd_blocks_and_has_a_key_of_its_own(size: int) -> None:
    content, shard = bytes(range(size)), 16
    stored = b""
    for start in range(0, size, shard):
        block = content[start : start + shard]
        block += b"\0" * (len(block) % 2)
        stored += highwayhash_256(struct.pack("<4Q", 3, 4, 2, 1), block) + block
    how = bitrot.framing(Form.RUSTFS)
    assert bitrot.unframe(stored, size, shard, how) == content
    for offset in range(size):
        part = bitrot.read_range(
            lambda place, count: stored[place : place + count], size, shard, offset, size - offset, how
        )
        assert part == content[offset:]
    if size:
        with pytest.raises(CorruptError):
            bitrot.unframe(stored, size, shard)
