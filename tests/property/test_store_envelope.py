"""Nothing that differs from what was packed is ever unpacked as a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope, keys
from dualtrack.errors import StoreCorruptError

DRIVE = b"drive-1"
ROWS = st.builds(
    Row,
    st.just("bucket"),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.builds(Generation, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    st.sampled_from(list(RowState)),
    st.sampled_from(list(RowOrigin)),
    st.builds(
        Fingerprint,
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
    ),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=60),
)


@given(ROWS, st.integers(0, 9), st.integers(0, 2**64 - 1))
def test_a_row_survives_packing(row: Row, versions: int, check: int) -> None:
    full = keys.full_key(row.bucket, row.key)
    stored = envelope.unpack(DRIVE, full, envelope.pack(DRIVE, full, row, versions, check))
    assert stored == envelope.Stored(row, versions, check)


@given(ROWS, st.integers(1, 255))
def test_every_changed_byte_is_found(row: Row, change: int) -> None:
    full = keys.full_key(row.bucket, row.key)
    packed = envelope.pack(DRIVE, full, row, 1, 7)
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= change
        with pytest.raises(StoreCorruptError):
            envelope.unpack(DRIVE, full, bytes(damaged))


@given(ROWS, st.integers(0, 300))
def test_a_shortened_or_lengthened_value_is_found(row: Row, cut: int) -> None:
    full = keys.full_key(row.bucket, row.key)
    packed = envelope.pack(DRIVE, full, row, 1, 7)
    for damaged in (packed[: min(cut, len(packed) - 1)], packed + b"\0" * (cut + 1)):
        with pytest.raises(StoreCorruptError):
            envelope.unpack(DRIVE, full, damaged)


@given(ROWS)
def test_a_value_under_another_key_or_of_another_drive_is_found(row: Row) -> None:
    full = keys.full_key(row.bucket, row.key)
    packed = envelope.pack(DRIVE, full, row, 1, 7)
    for drive, place in ((DRIVE, full + b"x"), (DRIVE, b"x" + full), (b"drive-2", full)):
        with pytest.raises(StoreCorruptError):
            envelope.unpack(drive, place, packed)


@given(st.binary(min_size=1, max_size=60), st.integers(1, 255))
def test_every_changed_byte_of_an_index_entry_is_found(summary: bytes, change: int) -> None:
    full = keys.full_key("b", "k")
    packed = envelope.pack_index(summary, envelope.summary_check(DRIVE, full, summary))
    assert envelope.unpack_index(DRIVE, full, packed)[0] == summary
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= change
        with pytest.raises(StoreCorruptError):
            envelope.unpack_index(DRIVE, full, bytes(damaged))
    with pytest.raises(StoreCorruptError):
        envelope.unpack_index(DRIVE, keys.full_key("b", "l"), packed)
