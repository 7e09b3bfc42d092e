"""Whatever the bytes are, only a FormatError leaves the codec, and no changed metadata goes unnoticed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.entries import entries
from dualtrack.engine.formats import bodies, bucket_metadata, wire, xlmeta
from dualtrack.engine.formats.bitrot import frame
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.summary import summary
from dualtrack.errors import CorruptError, FormatError


def sample() -> bytes:
    meta = xlmeta.empty()
    for number in range(3):
        version = new_object_version(
            version_id=bytes([number]) * 16,
            data_dir=bytes([number + 8]) * 16,
            mod_time_ns=1_700_000_000_000_000_000 + number,
            parts=[Part(1, 5, 5), Part(2, 300, 300)],
            meta_user={"etag": "0" * 32, "content-type": "text/plain", "X-Amz-Meta-Color": "red"},
            inline=number != 1,
        )
        meta = add_version(meta, version, frame(b"hello", 1024) if number != 1 else None)
    marker = new_delete_marker(version_id=b"\x09" * 16, mod_time_ns=1)
    return xlmeta.encode(add_version(meta, marker))


SAMPLE = sample()
METADATA_END = 13 + int.from_bytes(SAMPLE[9:13], "big")


def use(data: bytes) -> xlmeta.XlMeta:
    """Everything that reads a file does: decode it, and every body."""
    meta = xlmeta.decode(data)
    entries("b", "k", meta)
    summary(meta).pack()
    return meta


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_truncated_file_is_refused_or_has_lost_inline_entries_only(length: int) -> None:
    try:
        meta = use(SAMPLE[:length])
    except FormatError:
        return
    # The inline section begins after the CRC; a file that ends right there has none.
    assert length == METADATA_END + 5
    assert not meta.inline


@given(st.integers(0, METADATA_END + 4), st.integers(1, 255))
def test_every_flipped_byte_up_to_the_crc_is_found(position: int, mask: int) -> None:
    damaged = bytearray(SAMPLE)
    damaged[position] ^= mask
    with pytest.raises(FormatError):
        xlmeta.decode(bytes(damaged))


@given(st.integers(METADATA_END + 5, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_flipped_byte_in_the_inline_section_never_passes_for_the_same_file(
    position: int, mask: int
) -> None:
    damaged = bytearray(SAMPLE)
    damaged[position] ^= mask
    with suppress(FormatError):
        assert dict(use(bytes(damaged)).inline) != dict(xlmeta.decode(SAMPLE).inline)


@given(st.lists(st.tuples(st.integers(13, METADATA_END - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_under_a_valid_crc_is_a_format_error_or_another_file(changes: list[tuple[int, int]]) -> None:
    """Who forges a file can make its CRC right: the decoder behind it has to stand alone."""
    forged = bytearray(SAMPLE)
    for position, value in changes:
        forged[position] = value
    crc = xxhash.xxh64_intdigest(bytes(forged[13:METADATA_END]), 0) & 0xFFFFFFFF
    forged[METADATA_END + 1 : METADATA_END + 5] = crc.to_bytes(4, "big")
    with suppress(FormatError):
        use(bytes(forged))


@given(st.binary(max_size=400))
def test_random_bytes_raise_format_errors_only(data: bytes) -> None:
    for read in (
        xlmeta.decode,
        bodies.decode_body,
        bucket_metadata.decode_content,
        lambda raw: wire.split_map(raw, "test"),
        lambda raw: wire.loads(raw, "test"),
        lambda raw: use(SAMPLE[:METADATA_END] + raw),
    ):
        with suppress(FormatError):
            read(data)


def test_announced_arrays_reserve_no_memory_that_is_not_there() -> None:
    """A thousand nested arrays that each announce 10,000 items would make a decoder reserve 80 MB."""
    for bomb in (
        b"\xdc\x27\x10" * 1000 + b"\xc0" * 30_000,
        b"\xdd\x00\x00\x27\x10" * 1000,
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ):
        with pytest.raises(CorruptError):
            wire.loads(bomb, "test")


def test_a_long_but_honest_array_is_read() -> None:
    honest = b"\xdc\x27\x10" + b"\xcd\xdc\xdd" * 10_000
    assert wire.loads(honest, "test") == [0xDCDD] * 10_000
