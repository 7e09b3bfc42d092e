"""Whatever the bytes are, only a FormatError leaves the codec, and no changed metadata goes unnoticed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import old_forms
from dualtrack.engine.entries import entries
from dualtrack.engine.formats import bucket_metadata, forms, wire, xlmeta
from dualtrack.engine.formats.bitrot import frame
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.formats.inline import decode_inline
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


OLD = tuple(each.data for each in old_forms.fixtures())
old_files = st.integers(0, len(OLD) - 1)
damage = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), min_size=1, max_size=8)


@given(old_files, st.integers(0, 5_000))
def test_a_truncated_old_file_raises_format_errors_only(number: int, length: int) -> None:
    with suppress(FormatError):
        use(OLD[number][: length % len(OLD[number])])


@given(old_files, damage)
def test_a_damaged_old_file_raises_format_errors_only(number: int, changes: list[tuple[int, int]]) -> None:
    forged = bytearray(OLD[number])
    for position, value in changes:
        forged[position % len(forged)] = value
    with suppress(FormatError):
        use(bytes(forged))


@given(old_files, damage)
def test_a_damaged_old_body_under_a_valid_crc_raises_format_errors_only(
    number: int, changes: list[tuple[int, int]]
) -> None:
    for version in xlmeta.decode(OLD[number]).versions:
        forged = bytearray(version.raw_body or OLD[number])
        for position, value in changes:
            forged[position % len(forged)] = value
        metadata = b"\x81\xa8Versions\x91" + forged
        head = old_forms.header(old_forms.NULL, 1, int(version.kind), 0, 3)
        for data in (
            b"XL2 1   " + metadata,
            old_forms.indexed([(head, bytes(forged))], 3, 2, {}),
            bytes(forged),
        ):
            with suppress(FormatError):
                use(data)


@given(old_files, st.binary(max_size=60))
def test_a_header_with_random_bytes_behind_it_raises_format_errors_only(number: int, tail: bytes) -> None:
    for head in (b"XL2 1   ", b"XL2 \x01\x00\x01\x00", b"XL2 \x01\x00\x02\x00\xc4", b'{"version":', b"{"):
        with suppress(FormatError):
            use(head + tail + OLD[number][8:])


@given(st.binary(max_size=400))
def test_random_bytes_raise_format_errors_only(data: bytes) -> None:
    for read in (
        xlmeta.decode,
        forms.decode_body,
        bucket_metadata.decode_content,
        lambda raw: wire.split_map(raw, "test"),
        lambda raw: wire.loads(raw, "test"),
        lambda raw: use(SAMPLE[:METADATA_END] + raw),
    ):
        with suppress(FormatError):
            read(data)


def test_many_small_items_take_no_memory_that_their_bytes_do_not() -> None:
    """An empty array is a byte in a file and sixty in memory."""
    nested = b"\xdc\x27\x10" + (b"\xdc\x27\x10" + b"\x90" * 10_000) * 10_000
    metadata = b"\x81\xa8Versions\x91" + nested
    for read in (lambda: wire.loads(nested, "test"), lambda: xlmeta.decode(b"XL2 1   " + metadata)):
        with pytest.raises(CorruptError):
            read()
    many = b"\x01\xdf\x00\x1e\x84\x80" + b"".join(
        b"\xa4" + number.to_bytes(4, "big") + b"\xc4\x00" for number in range(2_000_000)
    )
    with pytest.raises(CorruptError):
        decode_inline(many)


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
